//! What keeps a process running where others must wait: its memory stays, the kernel does not
//! choose it when memory is short, and it is scheduled first.
#![expect(unsafe_code, reason = "rustix has neither memory locks nor scheduling policies")]

use std::io;

/// The lowest real-time priority: above everything that is not of real time.
const FIFO_PRIORITY: libc::c_int = 1;

/// The highest of the usual priorities.
const NICE: libc::c_int = -20;

const OOM_FILE: &str = "/proc/self/oom_score_adj";

/// Never chosen.
const OOM_NEVER: i32 = -1000;

/// What is in memory stays there.
pub(crate) fn lock_memory() -> io::Result<()> {
    // SAFETY: takes a number.
    check(unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_ONFAULT) })
}

/// Scheduled before everything usual. What it starts is not.
pub(crate) fn run_first() -> io::Result<()> {
    let parameter = libc::sched_param { sched_priority: FIFO_PRIORITY };
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: reads the value it is given.
    check(unsafe { libc::sched_setscheduler(0, policy, &raw const parameter) }).or_else(|_| raise_priority())
}

/// The highest of the usual priorities, for the calling thread and what it starts.
pub(crate) fn raise_priority() -> io::Result<()> {
    // SAFETY: takes numbers.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) })
}

/// The kernel does not choose it when memory is short.
pub(crate) fn refuse_oom() -> io::Result<()> {
    std::fs::write(OOM_FILE, OOM_NEVER.to_string())
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
