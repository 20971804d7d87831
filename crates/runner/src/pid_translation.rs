//! Process ids as the machine sees them, for reports: the runner may live in a PID namespace of its
//! own.

use std::os::fd::{OwnedFd, RawFd};

use rustix::fs::{Mode, OFlags, open, openat, readlinkat};

/// The machine's `/proc`, opened before our own was mounted over it.
#[derive(Debug)]
pub(crate) struct PidTranslation {
    proc: Option<OwnedFd>,
}

impl PidTranslation {
    /// Opens the present `/proc`. Without one, reports show the ids that the runner sees.
    pub(crate) fn open() -> PidTranslation {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        PidTranslation { proc: open("/proc", flags, Mode::empty()).ok() }
    }

    /// The id of our own process.
    pub(crate) fn own(&self) -> u32 {
        self.proc
            .as_ref()
            .and_then(|proc| readlinkat(proc, "self", Vec::new()).ok())
            .and_then(|pid| pid.to_str().ok()?.parse().ok())
            .unwrap_or_else(std::process::id)
    }

    /// The id of a descriptor's process. The kernel gives it in terms of the namespace that `/proc`
    /// belongs to.
    pub(crate) fn of(&self, pidfd: RawFd) -> Option<u32> {
        let path = format!("self/fdinfo/{pidfd}");
        let file = openat(self.proc.as_ref()?, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        // The file has a few short lines; the standard library would first ask for its size.
        let mut bytes = [0; 512];
        let length = rustix::io::read(&file, &mut bytes).ok()?;
        let text = std::str::from_utf8(&bytes[..length]).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pid:"))?;
        line.trim().parse().ok().filter(|pid| *pid != 0)
    }
}
