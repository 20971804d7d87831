//! The agent is scheduled first, and spared when memory is short. The processes that it starts are
//! not, and neither are the threads that fetch, read and clean up for others.
//!
//! Priorities belong to a thread, the OOM score to the process. The agent's memory is not locked:
//! it is the largest of the three processes that fence, and most of what it holds is on its way
//! (artifacts, logs, messages). It stays in the cgroup that its supervisor gave it, by which the
//! supervisor finds, limits and ends it; guard and runner leave that cgroup, so no two of the three
//! share one.

use std::sync::OnceLock;
use std::{fs, io};

use rustix::process::{getpriority_process, setpriority_process};

/// The highest ordinary priority. It is not a real-time one: the agent reads what others send.
const NICE: i32 = -20;

const OOM_FILE: &str = "/proc/self/oom_score_adj";

/// Never chosen; and the score to which a process that was given more may return without privilege.
const OOM_SCORES: [i32; 2] = [-1000, 0];

/// What the process had when it was started, for everything that it starts. Unset where the process
/// is not protected.
static USUAL: OnceLock<Usual> = OnceLock::new();

#[derive(Debug, Clone, Copy)]
struct Usual {
    nice: i32,
    oom_score: i32,
}

/// Protects the process and the calling thread, as far as the machine permits. To be called once,
/// before there is another thread.
pub fn protect() {
    let (Ok(nice), Ok(oom_score)) = (getpriority_process(None), oom_score()) else { return };
    if USUAL.set(Usual { nice, oom_score }).is_err() {
        return;
    }
    for (what, done) in [("be scheduled first", be_first()), ("be spared when memory is short", refuse_oom(oom_score))]
    {
        if let Err(error) = done {
            tracing::warn!(%error, "the agent cannot {what}");
        }
    }
}

/// Has the calling thread scheduled like any other.
pub fn be_usual() {
    if let Some(usual) = USUAL.get() {
        // A higher nice value is always permitted.
        let _ = setpriority_process(None, usual.nice);
    }
}

/// Does urgent work on a thread that is otherwise scheduled like any other.
pub(crate) fn hurry<T>(work: impl FnOnce() -> T) -> T {
    // If it is not permitted, that was logged at the start.
    let _ = USUAL.get().map(|_| be_first());
    let done = work();
    be_usual();
    done
}

/// Starts a process that inherits what this one had when it was started. Meanwhile this one has no
/// more either: a runner is started only when there is none, so there is nothing to fence.
pub(crate) fn start_usual<T>(start: impl FnOnce() -> T) -> T {
    let Some(usual) = USUAL.get() else { return start() };
    let nice = getpriority_process(None).unwrap_or(usual.nice);
    be_usual();
    // A higher score is always permitted.
    let _ = fs::write(OOM_FILE, usual.oom_score.to_string());
    let started = start();
    // It was permitted before.
    let _ = setpriority_process(None, nice);
    let _ = refuse_oom(usual.oom_score);
    started
}

fn be_first() -> io::Result<()> {
    Ok(setpriority_process(None, NICE)?)
}

/// Asks the kernel to choose the process last. The error says why the score is not "never".
fn refuse_oom(before: i32) -> io::Result<()> {
    let mut done = Ok(());
    for score in OOM_SCORES.into_iter().filter(|score| *score < before) {
        let written = fs::write(OOM_FILE, score.to_string());
        if written.is_ok() {
            break;
        }
        done = done.and(written);
    }
    done
}

fn oom_score() -> io::Result<i32> {
    fs::read_to_string(OOM_FILE)?.trim().parse().map_err(io::Error::other)
}

/// Lets no one but root look into an agent of root, which holds what programs are told in secret.
/// That of an ordinary user is as open as its programs are to it.
pub fn refuse_inspection() {
    if rustix::process::geteuid().is_root() {
        // It takes every process, so it cannot fail.
        let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    }
}
