//! What keeps a process running where others must wait: its memory stays, the kernel does not
//! choose it when memory is short, and it is scheduled first. None of it may reach a program.
#![expect(unsafe_code, reason = "rustix has neither memory locks nor scheduling policies")]

use std::ffi::{CStr, CString};
use std::{fs, io};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The lowest real-time priority: above everything that is not of real time.
const FIFO_PRIORITY: libc::c_int = 1;

/// The highest of the usual priorities.
const NICE: libc::c_int = -20;

/// Weighs a session's threads, all together, against those of the other sessions.
const AUTOGROUP_FILE: &str = "/proc/self/autogroup";

pub(super) const OOM_FILE: &CStr = c"/proc/self/oom_score_adj";

/// Never chosen.
const OOM_NEVER: i32 = -1000;

/// What a process may have that was given more, and has no privilege.
const OOM_USUAL: i32 = 0;

/// What is in memory stays there.
pub(crate) fn lock_memory() -> io::Result<()> {
    // SAFETY: takes a number.
    check(unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_ONFAULT) })
}

/// What comes into memory stays there too, where no limit can make an allocation fail for that
/// later; else as [`lock_memory`]. Programs have none of it: a lock ends at exec.
pub(crate) fn lock_memory_for_ever() -> io::Result<()> {
    let limit = getrlimit(Resource::Memlock);
    // Who is allowed to lock although it has no room to, is allowed without limit.
    let none = Rlimit { current: limit.current.map(|_| 0), maximum: limit.maximum };
    setrlimit(Resource::Memlock, none)?;
    // SAFETY: takes a number.
    let done = check(unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) });
    setrlimit(Resource::Memlock, limit)?;
    done.or_else(|_| lock_memory())
}

/// Scheduled before everything usual. What it starts is not.
pub(crate) fn run_first() -> io::Result<()> {
    let parameter = libc::sched_param { sched_priority: FIFO_PRIORITY };
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: reads the value it is given.
    check(unsafe { libc::sched_setscheduler(0, policy, &raw const parameter) }).or_else(|_| raise_priority())
}

/// The highest of the usual priorities, for the calling thread and what it starts, and for its
/// session's share of the processor, which a program leaves with the session.
pub(crate) fn raise_priority() -> io::Result<()> {
    // Absent where sessions are not weighed.
    let _ = fs::write(AUTOGROUP_FILE, NICE.to_string());
    // SAFETY: takes numbers.
    if matches!(unsafe { libc::sched_getscheduler(0) }, libc::SCHED_IDLE | libc::SCHED_BATCH) {
        let parameter = libc::sched_param { sched_priority: 0 };
        // SAFETY: reads the value it is given.
        check(unsafe { libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const parameter) })?;
    }
    // SAFETY: takes numbers.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) })
}

/// The kernel chooses it as late as it lets us have it when memory is short. Answers what a program
/// must write for itself, since it inherits this: the value before, if it was changed. The error is
/// why it is not "never".
pub(crate) fn refuse_oom() -> (Option<CString>, io::Result<()>) {
    let path = OOM_FILE.to_str().unwrap_or_default();
    let read = || -> io::Result<i32> {
        fs::read_to_string(path)?.trim().parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
    };
    let write = |value: i32| fs::write(path, value.to_string());
    let before = match read() {
        Ok(before) => before,
        Err(error) => return (None, Err(error)),
    };
    let done = if before == OOM_NEVER { Ok(()) } else { write(OOM_NEVER) };
    if done.is_err() && before > OOM_USUAL {
        // It is what the process has, if that is not permitted either.
        let _ = write(OOM_USUAL);
    }
    let is_changed = read().ok() != Some(before);
    (is_changed.then(|| CString::new(before.to_string()).unwrap_or_default()), done)
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
