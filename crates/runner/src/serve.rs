//! From a detached process to a runner that serves.

use std::ffi::CString;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use muster_agent::runner_protocol::{RunnerHello, VERSION};
use muster_os::PidNamespace;

use crate::connection::Listener;
use crate::earlier_runs::EarlierRuns;
use crate::engine::{self, Engine, EngineParts, UserRule};
use crate::guard::Keeper;
use crate::journal::{self, Journal};
use crate::options::RunnerOptions;
use crate::pid_translation::PidTranslation;
use crate::private_tmp::PrivateTmp;
use crate::spawner::{Spawner, SpawnerContext};
use crate::state_dir::StateDir;
use crate::sys::privilege;
use crate::sys::signals::SignalFd;
use crate::sys::user::{self, UserLimits};
use crate::tree::{self, TreeRequest, Trees};

/// Where the runner lives.
pub(crate) struct RunnerPlace {
    pub(crate) outer: PidTranslation,
    /// The PID namespace in which it was started.
    pub(crate) outer_namespace: Option<PidNamespace>,
    /// Whether it is the first process of a PID namespace of its own.
    pub(crate) is_first_process: bool,
}

/// Time between two sweeps of what an earlier runner left, until it is gone.
const SWEEP_PAUSE: Duration = Duration::from_millis(5);

/// Processes that have not ended in this time wait in the kernel. There is no new incarnation
/// before they are gone, so the start fails and may be tried again.
const SWEEP_LIMIT: Duration = Duration::from_secs(30);

/// Why the runner does not serve.
#[derive(Debug)]
pub(crate) enum ServeError {
    /// Another runner holds this cgroup.
    Locked(PathBuf),
    /// The text is for people.
    Failed(String),
}

impl From<String> for ServeError {
    fn from(text: String) -> ServeError {
        ServeError::Failed(text)
    }
}

fn cannot<E: std::fmt::Display>(what: &str) -> impl Fn(E) -> String {
    move |error| format!("cannot {what}: {error}")
}

/// Makes everything ready. The order matters: what was left is gone, or known to be left, before
/// there is a new incarnation, and the incarnation is on disk before anything can connect.
pub(crate) fn prepare(
    options: &RunnerOptions,
    state: &StateDir,
    place: RunnerPlace,
) -> Result<(Engine, EarlierRuns), ServeError> {
    let name = state.worker_name();
    let wanted = TreeRequest { root: options.cgroup_root.clone(), name, method: options.tree, limits: options.limits };
    let found = tree::find(&wanted).map_err(|error| ServeError::Locked(error.directory))?;
    let mut trees = found.trees;
    sweep(&trees)?;
    // Before there is a thread, and before memory is locked, since it forks.
    let own_users = user::can_become_others();
    let oom_score = protect();
    let private_tmp = open_private_tmp(options);
    trees.make_leased().map_err(cannot("make the group of leased trees"))?;
    let brake = trees.brake().map_err(cannot("find the group of leased trees"))?;
    let guard = Keeper::new(brake, options.fence_kill_after).map_err(cannot("prepare a guard"))?;
    let trees = Arc::new(trees);

    let present = place.outer_namespace.map(|namespace| (namespace, place.is_first_process));
    let runs = EarlierRuns::begin(state.path(), present, trees.home(), state.is_new())
        .map_err(cannot("write what runs here"))?;

    let (seen, memory) = journal::read(&state.journal()).map_err(cannot("read the journal"))?;
    let incarnation = state.next_incarnation(seen).map_err(cannot("write the incarnation"))?;
    let kept = engine::records_to_keep(memory);
    let journal = Journal::create(state.journal(), incarnation, &kept).map_err(cannot("begin the journal"))?;

    if !place.is_first_process {
        rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1))
            .map_err(cannot("become a reaper of processes"))?;
    }
    let pid = place.outer.own();
    state.write_pid(pid).map_err(cannot("write the process id"))?;
    let signals = SignalFd::new().map_err(cannot("wait for signals"))?;
    let setting = SpawnerContext {
        trees: Arc::clone(&trees),
        outer: Arc::new(place.outer),
        dies_with_parent: !place.is_first_process,
        oom_score,
        limits: UserLimits::of_runner(),
        private_tmp: private_tmp.clone(),
    };
    let spawner = Spawner::start(setting).map_err(cannot("start the spawner"))?;
    // Only after the spawners have started: they, and so all programs, keep the priority that this
    // thread had before. It is not a real-time priority, as the guard's is: this loop works as long
    // as there is work, and others send that work.
    tell("be scheduled first", privilege::raise_priority());
    let listener = Listener::bind(&state.socket(), place.is_first_process).map_err(cannot("serve the socket"))?;

    let mut capabilities = found.capabilities;
    capabilities.dies_with_runner = place.is_first_process;
    capabilities.earlier_ended = runs.have_ended();
    capabilities.own_users = own_users;
    capabilities.private_tmp = private_tmp.is_some();
    let boot_id = muster_os::proc::boot_id().map_err(cannot("read the boot id"))?;
    let hello = RunnerHello { version: VERSION, incarnation, boot_id, capabilities, pid, renewal: None };
    let is_first_process = place.is_first_process;
    let (cgroup_homes, fence_kill_after) = (found.cgroup_homes, options.fence_kill_after);
    let parts = EngineParts {
        hello,
        journal,
        trees,
        spawner,
        guard,
        listener,
        signals,
        is_first_process,
        cgroup_homes,
        fence_kill_after,
        user_rule: UserRule::new(options.allow_root),
        private_tmp,
    };
    let engine = Engine::new(parts, kept).map_err(cannot("begin"))?;
    Ok((engine, runs))
}

/// Users' own directories for temporary files, if they are asked for and the machine lets them be.
fn open_private_tmp(options: &RunnerOptions) -> Option<Arc<PrivateTmp>> {
    match PrivateTmp::open(options.private_tmp.as_deref()?, crate::clock::now().time.0) {
        Ok(opened) => Some(Arc::new(opened)),
        Err(error) => {
            tell("give users a /tmp of their own", Err(error));
            None
        }
    }
}

/// Protects the runner as far as the machine permits, before there is a spawner. Returns the OOM
/// score that each program writes for itself, since it would inherit the runner's. The memory lock
/// ends at exec.
fn protect() -> Option<CString> {
    tell("lock its memory", privilege::lock_memory_for_ever());
    let (oom_score, done) = privilege::refuse_oom();
    tell("be spared when memory is short", done);
    oom_score
}

fn tell(what: &str, done: io::Result<()>) {
    if let Err(error) = done {
        // There may be no reader.
        let _ = writeln!(io::stderr(), "the runner cannot {what}: {error}");
    }
}

/// Removes the files that say that a runner is here.
pub(crate) fn clean_up(state: &StateDir) {
    let _ = std::fs::remove_file(state.socket());
    state.remove_pid();
}

fn sweep(trees: &Trees) -> Result<(), String> {
    let begin = Instant::now();
    loop {
        let left = trees.sweep();
        if left.is_empty() {
            return Ok(());
        }
        if begin.elapsed() > SWEEP_LIMIT {
            return Err(format!("processes of an earlier runner do not end: {left:?}"));
        }
        thread::sleep(SWEEP_PAUSE);
    }
}
