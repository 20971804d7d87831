//! What keeps a process running where others must wait: its memory stays resident, the kernel does
//! not choose it when memory is short, and it is scheduled first. No program may inherit any of it.
#![expect(unsafe_code, reason = "rustix has neither memory locks nor scheduling policies")]

use std::ffi::{CStr, CString};
use std::{fs, io};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The lowest real-time priority, which is above everything that is not real-time.
const FIFO_PRIORITY: libc::c_int = 1;

/// The highest ordinary priority.
const NICE: libc::c_int = -20;

/// Weighs the threads of a session, all together, against those of other sessions.
const AUTOGROUP_FILE: &str = "/proc/self/autogroup";

pub(super) const OOM_FILE: &CStr = c"/proc/self/oom_score_adj";

/// The kernel never chooses the process.
const OOM_NEVER: i32 = -1000;

/// The ordinary score, to which a process that was given a higher one may return without privilege.
const OOM_USUAL: i32 = 0;

/// Keeps in memory what is there.
pub(crate) fn lock_memory() -> io::Result<()> {
    // SAFETY: takes a number.
    check(unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_ONFAULT) })
}

/// Keeps in memory also what comes there later, if no limit can make a later allocation fail for
/// that; otherwise does the same as [`lock_memory`]. Programs do not inherit it: a lock ends at
/// exec.
pub(crate) fn lock_memory_for_ever() -> io::Result<()> {
    let limit = getrlimit(Resource::Memlock);
    // If the lock succeeds with no room at all, it is allowed without limit.
    let none = Rlimit { current: limit.current.map(|_| 0), maximum: limit.maximum };
    setrlimit(Resource::Memlock, none)?;
    // SAFETY: takes a number.
    let done = check(unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) });
    setrlimit(Resource::Memlock, limit)?;
    done.or_else(|_| lock_memory())
}

/// Schedules the thread before everything ordinary, but not what it starts.
pub(crate) fn run_first() -> io::Result<()> {
    let parameter = libc::sched_param { sched_priority: FIFO_PRIORITY };
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: reads the value it is given.
    check(unsafe { libc::sched_setscheduler(0, policy, &raw const parameter) }).or_else(|_| raise_priority())
}

/// Sets the highest ordinary priority for the calling thread and what it starts, and for its
/// session's share of the processor. A program has a session of its own, and so not this share.
pub(crate) fn raise_priority() -> io::Result<()> {
    // The file is absent where sessions are not weighed.
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

/// Makes the kernel choose the process as late as permitted when memory is short. Returns the
/// earlier value if it was changed: a program inherits the new one, and must write the earlier one
/// for itself. The error says why the value is not "never".
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
        // If that is not permitted either, the process keeps the value that it has.
        let _ = write(OOM_USUAL);
    }
    let is_changed = read().ok() != Some(before);
    (is_changed.then(|| CString::new(before.to_string()).unwrap_or_default()), done)
}

/// Lets no one but root look into the process: neither trace it, nor read its memory and its
/// environment. It matters where there is something to protect: a runner of root has its memory
/// borrowed by a child that already has the program's user. Of an ordinary user, the programs are
/// that user too and may stop it anyway, and its files in `/proc` would be closed to itself.
pub(crate) fn refuse_inspection() {
    if rustix::process::geteuid().is_root() {
        // It takes every process, so it cannot fail.
        let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
