//! Processes that another program started, named so that a reused process id is never mistaken for
//! one of them.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process by its id and the time of its start, in ticks since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessName {
    /// The process id.
    pub(crate) pid: i32,
    start: u64,
}

/// A handle of one process, which never comes to mean another.
#[derive(Debug)]
pub(crate) struct ProcessRef {
    fd: OwnedFd,
}

impl fmt::Display for ProcessName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pid, self.start)
    }
}

impl FromStr for ProcessName {
    type Err = ();

    fn from_str(text: &str) -> Result<ProcessName, ()> {
        let mut words = text.split_whitespace();
        let pid = words.next().and_then(|word| word.parse().ok()).ok_or(())?;
        let start = words.next().and_then(|word| word.parse().ok()).ok_or(())?;
        Ok(ProcessName { pid, start })
    }
}

impl ProcessName {
    /// The process of this id; `None` when there is none.
    pub(crate) fn of(pid: i32) -> Option<ProcessName> {
        Some(ProcessName { pid, start: muster_os::proc::stat(pid)?.start })
    }

    /// The process that a file names; `None` when there is no file, or no process in it.
    pub(crate) fn read(path: &Path) -> Option<ProcessName> {
        std::fs::read_to_string(path).ok()?.parse().ok()
    }

    /// Opens a handle of the process; `None` when it is gone.
    pub(crate) fn hold(self) -> Option<ProcessRef> {
        let fd = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        // The handle is opened before the comparison, so that both mean the same process.
        (ProcessName::of(self.pid) == Some(self)).then_some(ProcessRef { fd })
    }
}

impl ProcessRef {
    /// Sends a signal. A process that is gone needs none.
    pub(crate) fn signal(&self, signal: Signal) {
        let _ = pidfd_send_signal(&self.fd, signal);
    }

    /// Waits for its end; returns whether it ended within the bound.
    pub(crate) fn wait(&self, bound: Duration) -> bool {
        let end = Instant::now() + bound;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let timeout = rustix::event::Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            };
            match poll(&mut [PollFd::new(&self.fd, PollFlags::IN)], Some(&timeout)) {
                Ok(0) => return false,
                Ok(_) => return true,
                Err(rustix::io::Errno::INTR) => {}
                // A process that cannot be watched counts as running.
                Err(_) => return false,
            }
        }
    }

    /// Sends TERM, and KILL when that does not end it within the bound.
    pub(crate) fn end(&self, bound: Duration) {
        self.signal(Signal::TERM);
        if !self.wait(bound) {
            self.signal(Signal::KILL);
            self.wait(bound);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_is_named_held_and_ended() {
        let mut child = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().expect("sleep runs");
        let name = ProcessName::of(child.id() as i32).expect("it runs");
        assert_eq!(name.to_string().parse(), Ok(name));
        let held = name.hold().expect("it runs");
        assert!(!held.wait(Duration::from_millis(10)), "it runs on");
        held.end(Duration::from_secs(10));
        child.wait().expect("it ended");
        assert!(name.hold().is_none(), "it is gone");
    }

    #[test]
    fn another_process_of_the_same_number_is_not_taken_for_it() {
        let me = ProcessName::of(std::process::id() as i32).expect("I run");
        let other = ProcessName { start: me.start + 1, ..me };
        assert!(me.hold().is_some() && other.hold().is_none());
    }
}
