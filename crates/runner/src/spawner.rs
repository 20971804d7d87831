//! The spawner: threads that only spawn. Only they touch paths that users chose, so only they can
//! hang on a path that cannot be reached.

use std::collections::VecDeque;
use std::ffi::CString;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use muster_agent::runner_protocol::{Limits, Program};
use muster_types::{AttemptKey, Time, WallTime};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{Mode, OFlags, open};

use crate::clock;
use crate::pid_translation::PidTranslation;
use crate::prepare::{self, Surroundings};
use crate::private_tmp::PrivateTmp;
use crate::sys::user::UserLimits;
use crate::sys::{CloneFailure, CloneStep, Cloned, Cloner};
use crate::tree::{Tree, Trees};

/// Jobs that were handed over and not begun. They are few, since a job that still waits in the main
/// loop can be taken back without a trace.
const HANDED_OVER: usize = 32;

/// Each thread sleeps while its child prepares and executes; meanwhile another one makes the
/// cgroups for the next child.
const THREADS: usize = 2;

/// While all threads hang on paths and jobs wait, further threads are started, up to this many. A
/// path that cannot be reached is hardly shared by more attempts of one machine than this; each
/// costs a stack, most of which is never touched.
const MOST_THREADS: usize = 64;

/// A start that has taken this long hangs. Usual ones take less than a millisecond.
const HANGS_AFTER: Duration = Duration::from_secs(1);

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
    /// Its user's directories for temporary files could not be made.
    PrivateTmp(io::Error),
    /// One of its texts holds a zero byte.
    Text(&'static str),
    /// The child failed before it executed.
    Child(CloneFailure),
}

/// What a thread works at.
#[derive(Debug, Clone, Copy)]
struct Working {
    attempt: AttemptKey,
    since: Time,
}

/// What the threads and the main loop share.
#[derive(Debug)]
struct SpawnerShared {
    /// `CLOCK_BOOTTIME` in nanoseconds after which nothing leased starts.
    lease_end: AtomicU64,
    /// The pid that each thread is starting, 0 if none. The main loop does not know these processes
    /// yet, and must not take them for unassigned ones.
    current: [AtomicI32; MOST_THREADS],
    /// What each thread works at.
    working: Mutex<[Option<Working>; MOST_THREADS]>,
    done: Mutex<VecDeque<SpawnDone>>,
    wake: OwnedFd,
}

impl SpawnerShared {
    fn done(&self) -> MutexGuard<'_, VecDeque<SpawnDone>> {
        // A panic of either thread ends the process.
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn working(&self) -> MutexGuard<'_, [Option<Working>; MOST_THREADS]> {
        self.working.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The main loop's side of the spawner.
#[derive(Debug)]
pub(crate) struct Spawner {
    jobs: SyncSender<Box<SpawnJob>>,
    receiver: Arc<Mutex<Receiver<Box<SpawnJob>>>>,
    shared: Arc<SpawnerShared>,
    setting: SpawnerContext,
    threads: usize,
    /// Jobs that were handed over and not taken back as done.
    open: usize,
    next_look: Option<Time>,
}

/// What the threads need to know.
#[derive(Debug, Clone)]
pub(crate) struct SpawnerContext {
    pub(crate) trees: Arc<Trees>,
    pub(crate) outer: Arc<PidTranslation>,
    pub(crate) dies_with_parent: bool,
    /// The OOM score that each child writes for itself, since it would inherit the runner's.
    pub(crate) oom_score: Option<CString>,
    /// The limits of programs that run as another user than the runner.
    pub(crate) limits: UserLimits,
    /// The directories for temporary files of users, where they have their own.
    pub(crate) private_tmp: Option<Arc<PrivateTmp>>,
}

impl Spawner {
    /// Starts the threads.
    pub(crate) fn start(setting: SpawnerContext) -> io::Result<Spawner> {
        let (jobs, receiver) = sync_channel(HANDED_OVER);
        let shared = Arc::new(SpawnerShared {
            lease_end: AtomicU64::new(0),
            current: [const { AtomicI32::new(0) }; MOST_THREADS],
            working: Mutex::new([None; MOST_THREADS]),
            done: Mutex::default(),
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        });
        let receiver = Arc::new(Mutex::new(receiver));
        let mut spawner = Spawner { jobs, receiver, shared, setting, threads: 0, open: 0, next_look: None };
        for _ in 0..THREADS {
            spawner.start_thread()?;
        }
        Ok(spawner)
    }

    fn start_thread(&mut self) -> io::Result<()> {
        let worker = SpawnerThread {
            number: self.threads,
            cloner: Cloner::new()?,
            null: open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?,
            setting: self.setting.clone(),
            shared: Arc::clone(&self.shared),
        };
        let jobs = Arc::clone(&self.receiver);
        thread::Builder::new().name("spawner".into()).stack_size(STACK_BYTES).spawn(move || worker.run(&jobs))?;
        self.threads += 1;
        Ok(())
    }

    /// Starts a further thread if every thread hangs and a job waits.
    pub(crate) fn mind_hangs(&mut self, now: Time) {
        self.next_look = None;
        if self.open <= self.threads || self.threads == MOST_THREADS {
            return;
        }
        let working = *self.shared.working();
        // A thread that works at nothing is about to take a job.
        let since = working[..self.threads].iter().map(|working| working.map_or(now, |working| working.since));
        let hangs_at = since.fold(Time(0), Time::max) + HANGS_AFTER;
        if hangs_at <= now
            && let Err(error) = self.start_thread()
        {
            // There may be no reader.
            let _ = writeln!(io::stderr(), "cannot start another spawner: {error}");
        }
        self.next_look = Some(hangs_at.max(now + HANGS_AFTER / 10));
    }

    /// When to look for hangs again.
    pub(crate) fn next_look(&self) -> Option<Time> {
        self.next_look
    }

    /// Hands a job over, or gives it back if enough jobs wait.
    pub(crate) fn hand_over(&mut self, job: Box<SpawnJob>) -> Result<(), Box<SpawnJob>> {
        match self.jobs.try_send(job) {
            Ok(()) => {
                self.open += 1;
                Ok(())
            }
            Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => Err(job),
        }
    }

    /// Sets the time after which nothing leased starts.
    pub(crate) fn set_lease_end(&self, nanos: u64) {
        self.shared.lease_end.store(nanos, Ordering::SeqCst);
    }

    /// The jobs that were done since the last call.
    pub(crate) fn take_done(&mut self) -> VecDeque<SpawnDone> {
        let mut counter = [0; 8];
        // It is empty if an earlier call has taken what this wake-up was for.
        let _ = rustix::io::read(&self.shared.wake, &mut counter);
        let done = std::mem::take(&mut *self.shared.done());
        self.open -= done.len();
        done
    }

    /// The process that is being started for an attempt. It exists, or has ended and is not reaped,
    /// until the caller takes what was done.
    pub(crate) fn starting(&self, attempt: AttemptKey) -> Option<i32> {
        let is_it = |working: &Option<Working>| working.is_some_and(|working| working.attempt == attempt);
        let number = self.shared.working().iter().position(is_it)?;
        Some(self.shared.current[number].load(Ordering::SeqCst)).filter(|pid| *pid != 0)
    }

    /// Whether a child that has ended is still being started. To be asked before
    /// [`Spawner::take_done`], which returns the children that are no longer being started.
    pub(crate) fn is_starting(&self, pid: i32) -> bool {
        self.shared.current.iter().any(|current| current.load(Ordering::SeqCst) == pid)
    }
}

/// Readable when a job is done.
impl AsFd for Spawner {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.wake.as_fd()
    }
}

/// The next job. One thread waits for it, the others wait for that thread.
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
            let working = Working { attempt: job.attempt, since: clock::now().time };
            self.shared.working()[self.number] = Some(working);
            let result = self.spawn(&job);
            self.shared.working()[self.number] = None;
            let was_empty = {
                let mut done = self.shared.done();
                done.push_back(SpawnDone { attempt: job.attempt, result });
                done.len() == 1
            };
            // Only after the job is among those done: until then the child must not look like an
            // unassigned process.
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
        let user = job.program.credentials.as_ref().map(|user| user.uid);
        let namespaces = match (&self.setting.private_tmp, user) {
            (Some(private), Some(user)) => Some(private.namespaces(user).map_err(SpawnFailure::PrivateTmp)?),
            _ => None,
        };
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
            limits: self.setting.limits,
            namespaces: namespaces.as_deref(),
        };
        let plan = prepare::plan(&job.program, surroundings).map_err(|bad| SpawnFailure::Text(bad.0))?;
        let cgroup = entry.cgroup.as_ref().map(AsFd::as_fd);
        let Cloned { pid, pidfd } =
            self.cloner.spawn(&plan, cgroup, &self.shared.current[self.number]).map_err(SpawnFailure::Child)?;
        let outer_pid = self.setting.outer.of(pidfd.as_raw_fd()).unwrap_or(pid.cast_unsigned());
        Ok(Spawned { pid, outer_pid, pidfd, started: clock::wall() })
    }
}
