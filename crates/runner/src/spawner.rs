//! The spawner: threads that only spawn. They alone touch paths that users chose, so they alone may
//! hang on one that cannot be reached.

use std::collections::VecDeque;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use muster_agent::runner_protocol::{Limits, Program};
use muster_types::{AttemptKey, WallTime};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{Mode, OFlags, open};

use crate::clock;
use crate::pid_translation::PidTranslation;
use crate::prepare::{self, Surroundings};
use crate::sys::{CloneFailure, CloneStep, Cloned, Cloner};
use crate::tree::{Tree, Trees};

/// Jobs handed over and not begun. Few: what waits with the main loop can be taken back without a
/// trace.
const HANDED_OVER: usize = 32;

/// Each sleeps while its child prepares and executes; another makes the next one's cgroups
/// meanwhile. And while one hangs on a path, the others go on.
const THREADS: usize = 2;

/// A spawner's stack: it formats paths and makes system calls.
const STACK_BYTES: usize = 128 * 1024;

/// A process to start.
#[derive(Debug)]
pub(crate) struct SpawnJob {
    pub(crate) attempt: AttemptKey,
    pub(crate) program: Program,
    pub(crate) limits: Limits,
    pub(crate) leased: bool,
    pub(crate) cancelled: Arc<AtomicBool>,
}

/// What became of a job.
#[derive(Debug)]
pub(crate) struct SpawnDone {
    pub(crate) attempt: AttemptKey,
    pub(crate) result: Result<Spawned, SpawnFailure>,
}

/// A process that runs.
#[derive(Debug)]
pub(crate) struct Spawned {
    /// In the runner's PID namespace.
    pub(crate) pid: i32,
    /// In the outer one.
    pub(crate) outer_pid: u32,
    pub(crate) pidfd: OwnedFd,
    pub(crate) started: WallTime,
}

/// Why no process runs.
#[derive(Debug)]
pub(crate) enum SpawnFailure {
    /// Its cgroups could not be made.
    Tree(io::Error),
    /// A text of it holds a zero byte.
    Text(&'static str),
    /// The child failed on its way.
    Child(CloneFailure),
}

/// What both threads see.
#[derive(Debug)]
struct SpawnerShared {
    /// `CLOCK_BOOTTIME` in nanoseconds after which nothing leased starts.
    lease_end: AtomicU64,
    /// The pids that are being started, one of each thread, 0 if none: not unassigned, although the
    /// main loop does not know them yet.
    current: [AtomicI32; THREADS],
    done: Mutex<VecDeque<SpawnDone>>,
    wake: OwnedFd,
}

impl SpawnerShared {
    fn done(&self) -> MutexGuard<'_, VecDeque<SpawnDone>> {
        // A panic of either thread ends the process.
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The main loop's end.
#[derive(Debug)]
pub(crate) struct Spawner {
    jobs: SyncSender<Box<SpawnJob>>,
    shared: Arc<SpawnerShared>,
}

/// What the threads need to know.
#[derive(Clone)]
pub(crate) struct SpawnerContext {
    pub(crate) trees: Arc<Trees>,
    pub(crate) outer: Arc<PidTranslation>,
    pub(crate) dies_with_parent: bool,
    /// What each child writes for itself, since the runner is spared when memory is short.
    pub(crate) oom_score: Option<CString>,
}

impl Spawner {
    /// Starts the threads.
    pub(crate) fn start(setting: SpawnerContext) -> io::Result<Spawner> {
        let (jobs, receiver) = sync_channel(HANDED_OVER);
        let shared = Arc::new(SpawnerShared {
            lease_end: AtomicU64::new(0),
            current: Default::default(),
            done: Mutex::default(),
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        });
        let receiver = Arc::new(Mutex::new(receiver));
        for number in 0..THREADS {
            let worker = SpawnerThread {
                number,
                cloner: Cloner::new()?,
                null: open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?,
                setting: setting.clone(),
                shared: Arc::clone(&shared),
            };
            let jobs = Arc::clone(&receiver);
            thread::Builder::new().name("spawner".into()).stack_size(STACK_BYTES).spawn(move || worker.run(&jobs))?;
        }
        Ok(Spawner { jobs, shared })
    }

    /// Hands a job over, or gives it back if enough wait.
    pub(crate) fn hand_over(&self, job: Box<SpawnJob>) -> Result<(), Box<SpawnJob>> {
        match self.jobs.try_send(job) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => Err(job),
        }
    }

    /// Nothing leased starts after this.
    pub(crate) fn set_lease_end(&self, nanos: u64) {
        self.shared.lease_end.store(nanos, Ordering::SeqCst);
    }

    /// What was done since the last call.
    pub(crate) fn take_done(&self) -> VecDeque<SpawnDone> {
        let mut counter = [0; 8];
        // Empty when the wake-up was for what an earlier call took.
        let _ = rustix::io::read(&self.shared.wake, &mut counter);
        std::mem::take(&mut *self.shared.done())
    }

    /// Whether a child that has ended is one that is being started. To be asked before
    /// [`Spawner::take_done`]: what is no longer being started is among what is done.
    pub(crate) fn is_starting(&self, pid: i32) -> bool {
        self.shared.current.iter().any(|current| current.load(Ordering::SeqCst) == pid)
    }
}

/// Readable when something is done.
impl AsFd for Spawner {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.wake.as_fd()
    }
}

/// The next job; one thread waits for it, the others for that one.
fn next(jobs: &Mutex<Receiver<Box<SpawnJob>>>) -> Option<Box<SpawnJob>> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

struct SpawnerThread {
    number: usize,
    cloner: Cloner,
    null: OwnedFd,
    setting: SpawnerContext,
    shared: Arc<SpawnerShared>,
}

impl SpawnerThread {
    fn run(mut self, jobs: &Mutex<Receiver<Box<SpawnJob>>>) {
        while let Some(job) = next(jobs) {
            let result = self.spawn(&job);
            let was_empty = {
                let mut done = self.shared.done();
                done.push_back(SpawnDone { attempt: job.attempt, result });
                done.len() == 1
            };
            // After it is among what is done: until then it must not look like an unassigned
            // process.
            self.shared.current[self.number].store(0, Ordering::SeqCst);
            if was_empty {
                // The counter cannot overflow: it is read as often as it is written.
                let _ = rustix::io::write(&self.shared.wake, &1u64.to_ne_bytes());
            }
        }
    }

    fn spawn(&mut self, job: &SpawnJob) -> Result<Spawned, SpawnFailure> {
        if job.cancelled.load(Ordering::SeqCst) {
            let error = io::Error::from_raw_os_error(libc::ECANCELED);
            return Err(SpawnFailure::Child(CloneFailure { step: CloneStep::Cancelled, error }));
        }
        let entry = self
            .setting
            .trees
            .make(&Tree { attempt: job.attempt, leased: job.leased }, &job.limits)
            .map_err(SpawnFailure::Tree)?;
        let surroundings = Surroundings {
            null: self.null.as_fd(),
            joins: entry.joins,
            mark: entry.mark,
            cancelled: &job.cancelled,
            lease_end: job.leased.then_some(&self.shared.lease_end),
            dies_with_parent: self.setting.dies_with_parent,
            oom_score: self.setting.oom_score.as_deref(),
        };
        let plan = prepare::plan(&job.program, surroundings).map_err(|bad| SpawnFailure::Text(bad.0))?;
        let cgroup = entry.cgroup.as_ref().map(AsFd::as_fd);
        let Cloned { pid, pidfd } =
            self.cloner.spawn(&plan, cgroup, &self.shared.current[self.number]).map_err(SpawnFailure::Child)?;
        let outer_pid = self.setting.outer.of(pidfd.as_raw_fd()).unwrap_or(pid.cast_unsigned());
        Ok(Spawned { pid, outer_pid, pidfd, started: clock::wall() })
    }
}
