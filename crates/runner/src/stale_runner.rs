//! A runner whose state directory was wiped while it ran: it can no longer be reached, yet it holds
//! the worker's cgroup. It is ended, and the kernel ends what it ran, before the next runner looks
//! at the cgroup.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use muster_agent::runner_protocol::LOCK_NAME;
use rustix::fs::{major, minor};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Time between two looks at a killed process.
const LOOK: Duration = Duration::from_millis(5);

/// A process that has not ended in this time waits in the kernel.
const LIMIT: Duration = Duration::from_secs(30);

/// Waits until a cgroup's directory that was locked is free, if its holder is ending, and ends the
/// holder if its own lock file was deleted. Returns false if the holder is another worker's runner,
/// perhaps in a container that sees the same path: that one has its lock file.
pub(crate) fn take_over(cgroup: &Path) -> io::Result<bool> {
    let begin = Instant::now();
    while let Some(holder) = holder_of(cgroup)? {
        match state_of(holder)? {
            HolderState::Lives => return Ok(false),
            HolderState::Orphan(pidfd) => pidfd_send_signal(&pidfd, Signal::KILL)?,
            HolderState::Ends => {}
        }
        if begin.elapsed() > LIMIT {
            return Err(io::Error::from(io::ErrorKind::TimedOut));
        }
        thread::sleep(LOOK);
    }
    Ok(true)
}

enum HolderState {
    Lives,
    /// Its lock file was deleted.
    Orphan(OwnedFd),
    /// A killed process has no descriptors to look at, but holds its locks until its last thread is
    /// gone.
    Ends,
}

fn state_of(pid: Pid) -> io::Result<HolderState> {
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        Err(Errno::SRCH) => return Ok(HolderState::Ends),
        Err(error) => return Err(error.into()),
    };
    let targets = match fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero())) {
        Ok(entries) => entries.filter_map(Result::ok).filter_map(|entry| fs::read_link(entry.path()).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(HolderState::Ends),
        // A process of another user is not ours to judge.
        Err(_) => return Ok(HolderState::Lives),
    };
    let targets: Vec<_> = targets.collect();
    let deleted = format!("/{LOCK_NAME} (deleted)");
    Ok(match targets.iter().any(|target| target.to_string_lossy().ends_with(&deleted)) {
        true => HolderState::Orphan(pidfd),
        false if targets.is_empty() => HolderState::Ends,
        false => HolderState::Lives,
    })
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

#[cfg(test)]
mod tests {
    use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;
    use crate::sys::daemon::{self, Side};
    use crate::sys::wait;

    /// Locks the directory, ends the first thread, and ends the process at the end of the input.
    #[expect(unsafe_code, reason = "the library has no call that ends one thread")]
    fn lock_and_end_first_thread(directory: &Path, until: OwnedFd) -> ! {
        let lock = open(directory, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        thread::spawn(move || {
            let _ = rustix::io::read(&until, &mut [0; 1]);
            drop(lock);
            daemon::leave(0);
        });
        // SAFETY: the other thread uses nothing on this thread's stack.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
        daemon::leave(1)
    }

    /// A killed runner is in the same state for a moment.
    #[test]
    fn a_holder_that_ends_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let (until, end) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        // The child uses no lock of the harness's other threads; the allocator's are free after a
        // fork.
        let pid = match daemon::fork().unwrap() {
            Side::Child => {
                drop(end);
                lock_and_end_first_thread(directory.path(), until);
            }
            Side::Parent(pid) => pid,
        };
        let begin = Instant::now();
        let holder = Pid::from_raw(pid);
        let is_ending = || matches!(state_of(holder.unwrap()).unwrap(), HolderState::Ends);
        while holder_of(directory.path()).unwrap() != holder || !is_ending() {
            assert!(begin.elapsed() < LIMIT, "its first thread does not end");
            thread::sleep(LOOK);
        }
        let path = directory.path().to_owned();
        let taking = thread::spawn(move || take_over(&path));
        drop(end);
        assert!(taking.join().unwrap().unwrap());
        assert_eq!(holder_of(directory.path()).unwrap(), None);
        wait::reap(pid).unwrap();
    }
}
