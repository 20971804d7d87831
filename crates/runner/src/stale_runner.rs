//! A runner whose state directory was wiped while it ran: it can no longer be reached, yet it holds
//! the worker's cgroup. It is ended, and the kernel ends what it ran, before the next runner looks
//! at the cgroup.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use muster_agent::runner_protocol::LOCK_NAME;
use rustix::fs::{major, minor};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Time between two looks at a killed process.
const LOOK: Duration = Duration::from_millis(5);

/// A process that has not ended in this time waits in the kernel.
const LIMIT: Duration = Duration::from_secs(30);

/// Ends the runner that holds a cgroup's directory locked, if its own lock file was deleted;
/// returns false if there is no such runner. A runner whose lock file exists belongs to another
/// worker, perhaps in a container that sees the same path.
pub(crate) fn take_over(cgroup: &Path) -> io::Result<bool> {
    let Some(holder) = holder_of(cgroup)? else { return Ok(false) };
    let pidfd = pidfd_open(holder, PidfdFlags::empty())?;
    if !is_orphan(holder) {
        return Ok(false);
    }
    pidfd_send_signal(&pidfd, Signal::KILL)?;
    let begin = Instant::now();
    while holder_of(cgroup)? == Some(holder) {
        if begin.elapsed() > LIMIT {
            return Err(io::Error::from(io::ErrorKind::TimedOut));
        }
        thread::sleep(LOOK);
    }
    Ok(true)
}

/// The process that holds a path locked, from `/proc/locks`: `1: FLOCK  ADVISORY  WRITE 123
/// 00:1c:456 0 EOF`.
fn holder_of(path: &Path) -> io::Result<Option<Pid>> {
    let file = fs::metadata(path)?;
    let wanted = format!("{:02x}:{:02x}:{}", major(file.dev()), minor(file.dev()), file.ino());
    let locks = fs::read_to_string("/proc/locks")?;
    Ok(locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        match fields[..] {
            [_, "FLOCK", _, _, pid, file, ..] if file == wanted => Pid::from_raw(pid.parse().ok()?),
            _ => None,
        }
    }))
}

fn is_orphan(pid: Pid) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero())) else { return false };
    let deleted = format!("/{LOCK_NAME} (deleted)");
    entries
        .filter_map(Result::ok)
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .any(|target| target.to_string_lossy().ends_with(&deleted))
}
