//! Leaving the caller. The process that was started waits until the runner serves. The runner lives
//! on in a session without a leader and, where the kernel permits it, as the first process of its
//! own PID namespace, so that everything it runs dies with it.

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use muster_os::PidNamespace;
use rustix::fs::{Mode, OFlags, open};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::connection;
use crate::options::RunnerOptions;
use crate::pid_translation::PidTranslation;
use crate::serve::{self, RunnerPlace, ServeError};
use crate::stale_runner::take_over;
use crate::state_dir::{StateDir, StateDirError};
use crate::sys::daemon::{self, Side};
use crate::sys::signals;

/// Why no runner was started.
#[derive(Debug)]
pub(crate) enum LaunchError {
    /// Another runner holds the state directory.
    Served,
    /// The text is for people.
    Failed(String),
}

/// What the runner tells the process that started it: one byte, and a text if it failed.
const SERVES: u8 = b'S';
const NO_NAMESPACE: u8 = b'N';
const LOCKED: u8 = b'L';
const FAILED: u8 = b'F';

/// Time between tries to lock a state directory that no runner serves, and how long they go on.
const LOCK_PAUSE: Duration = Duration::from_millis(5);
const LOCK_LIMIT: Duration = Duration::from_secs(10);

/// The longest text of a failure.
const MAX_TEXT: u64 = 4096;

fn failed(what: &str) -> impl Fn(io::Error) -> LaunchError {
    move |error| LaunchError::Failed(format!("cannot {what}: {error}"))
}

/// Starts the runner. Returns in the calling process when the runner serves.
pub(crate) fn launch(options: &RunnerOptions) -> Result<(), LaunchError> {
    let state = open_state(options)?;
    let mut with_namespaces = options.namespaces;
    let mut may_take_over = true;
    loop {
        match try_launch(options, &state, with_namespaces)? {
            Launched::Serves => return Ok(()),
            Launched::NoNamespace => with_namespaces = false,
            Launched::Locked(cgroup) => {
                if !may_take_over || !take_over(&cgroup).map_err(failed("end a runner whose directory is gone"))? {
                    let what = "is used by another runner: give this one another --cgroup-root";
                    return Err(LaunchError::Failed(format!("{} {what}", cgroup.display())));
                }
                may_take_over = false;
            }
        }
    }
}

/// Locks the state directory. If it is locked but not served, a runner begins or ends there: its
/// lock goes with its last thread.
fn open_state(options: &RunnerOptions) -> Result<StateDir, LaunchError> {
    let begin = Instant::now();
    loop {
        match StateDir::open(&options.state_dir) {
            Ok(state) => return Ok(state),
            Err(StateDirError::Locked(socket)) => {
                if connection::is_served(&socket) || begin.elapsed() > LOCK_LIMIT {
                    return Err(LaunchError::Served);
                }
                thread::sleep(LOCK_PAUSE);
            }
            Err(StateDirError::Directory(error)) => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                return Err(LaunchError::Failed(format!("state directory: {error}{cause}")));
            }
            Err(StateDirError::Io(what, path, error)) => {
                return Err(LaunchError::Failed(format!("cannot {what} {}: {error}", path.display())));
            }
        }
    }
}

/// The result of a launch.
enum Launched {
    /// The runner serves.
    Serves,
    /// No namespace could be made.
    NoNamespace,
    /// Another runner holds this cgroup.
    Locked(PathBuf),
}

fn try_launch(options: &RunnerOptions, state: &StateDir, with_namespaces: bool) -> Result<Launched, LaunchError> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed("make a pipe")(error.into()))?;
    let child = match daemon::fork().map_err(failed("fork"))? {
        Side::Child => leave_session(options, state, writer, with_namespaces),
        Side::Parent(child) => child,
    };
    drop(writer);
    // The child ends as soon as it has forked the runner.
    let _ = crate::sys::wait::reap(child);
    let mut answer = Vec::new();
    File::from(reader).take(MAX_TEXT).read_to_end(&mut answer).map_err(failed("hear the runner"))?;
    match answer.split_first() {
        Some((&SERVES, _)) => Ok(Launched::Serves),
        Some((&NO_NAMESPACE, _)) => Ok(Launched::NoNamespace),
        Some((&LOCKED, path)) => Ok(Launched::Locked(PathBuf::from(OsStr::from_bytes(path)))),
        Some((_, text)) => Err(LaunchError::Failed(String::from_utf8_lossy(text).into_owned())),
        None => Err(LaunchError::Failed("the runner ended before it served".to_owned())),
    }
}

/// In a process of its own: opens a session, makes the namespaces, and forks the runner. This
/// process leads the session and ends at once, so the runner leads none. Only the leader of a
/// session can acquire a controlling terminal, whose hang-up would then end the runner.
fn leave_session(options: &RunnerOptions, state: &StateDir, writer: OwnedFd, with_namespaces: bool) -> ! {
    signals::reset_and_block();
    daemon::close_others(&[writer.as_raw_fd(), state.lock_fd()]);
    let _ = rustix::process::setsid();
    let outer = PidTranslation::open();
    let outer_namespace = PidNamespace::present();
    if with_namespaces && daemon::unshare_pids_and_mounts().is_err() {
        tell(writer, NO_NAMESPACE, b"");
        daemon::leave(0);
    }
    match daemon::fork() {
        Ok(Side::Parent(_)) => daemon::leave(0),
        Ok(Side::Child) => {
            let place = RunnerPlace { outer, outer_namespace, is_first_process: with_namespaces };
            become_runner(options, state, writer, place)
        }
        Err(error) => {
            tell(writer, FAILED, format!("cannot fork: {error}").as_bytes());
            daemon::leave(1)
        }
    }
}

fn become_runner(options: &RunnerOptions, state: &StateDir, writer: OwnedFd, place: RunnerPlace) -> ! {
    if place.is_first_process && own_proc().is_err() {
        tell(writer, NO_NAMESPACE, b"");
        daemon::leave(0);
    }
    let prepared = detach(state).map_err(|error| ServeError::Failed(format!("cannot leave its caller: {error}")));
    let served = prepared.and_then(|()| serve::prepare(options, state, place));
    match served {
        Ok((engine, runs)) => {
            tell(writer, SERVES, b"");
            let ended = engine.run();
            if ended.is_ok() {
                runs.end();
            }
            serve::clean_up(state);
            daemon::leave(i32::from(ended.is_err()))
        }
        Err(ServeError::Locked(cgroup)) => {
            tell(writer, LOCKED, cgroup.as_os_str().as_bytes());
            daemon::leave(1)
        }
        Err(ServeError::Failed(message)) => {
            tell(writer, FAILED, message.as_bytes());
            daemon::leave(1)
        }
    }
}

fn tell(writer: OwnedFd, what: u8, text: &[u8]) {
    // The runner goes on even if the caller is gone.
    let _ = File::from(writer).write_all(&[&[what], text].concat());
}

/// Has `/proc` show a user's own processes only, in the number that old kernels know as well.
const HIDE_OTHERS: &CStr = c"hidepid=2";

/// Whether hidden processes are still seen by the runner, which finds those of a tree there.
fn sees_all_processes() -> bool {
    use rustix::thread::{CapabilitySet, capabilities};
    capabilities(None).is_ok_and(|own| own.effective.contains(CapabilitySet::SYS_PTRACE))
}

/// Makes `/proc` show our own processes, and each user its own among them. Later mounts of the
/// machine are still seen, but ours are not passed on.
fn own_proc() -> io::Result<()> {
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    if sees_all_processes() && mount("proc", "/proc", "proc", flags, Some(HIDE_OTHERS)).is_ok() {
        return Ok(());
    }
    Ok(mount("proc", "/proc", "proc", flags, None)?)
}

/// Lets go of the caller's directory and streams. The message of a crash goes to the log.
fn detach(state: &StateDir) -> io::Result<()> {
    std::env::set_current_dir("/")?;
    let null = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let log = File::options().create(true).write(true).truncate(true).open(state.log())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&log)?;
    // A runner that has lost a thread would neither serve nor end, so it aborts.
    std::panic::set_hook(Box::new(|panic| {
        let _ = writeln!(io::stderr(), "{panic}");
        std::process::abort();
    }));
    Ok(())
}
