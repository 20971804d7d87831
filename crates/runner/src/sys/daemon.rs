//! Leaving the process that started the runner: forks, sessions, namespaces, descriptors.
#![expect(unsafe_code, reason = "fork, unshare and _exit")]

use std::io;

use rustix::thread::UnshareFlags;

/// Which side of a fork this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The child.
    Child,
    /// The parent, with the child's pid.
    Parent(i32),
}

/// Forks. Must be called before any thread is started.
pub(crate) fn fork() -> io::Result<Side> {
    // SAFETY: the process has one thread here, so the child is a whole copy.
    match unsafe { libc::fork() } {
        pid if pid < 0 => Err(io::Error::last_os_error()),
        0 => Ok(Side::Child),
        pid => Ok(Side::Parent(pid)),
    }
}

/// Makes the next child the first process of a new PID namespace. Mounts are our own from here on.
pub(crate) fn unshare_pids_and_mounts() -> io::Result<()> {
    // SAFETY: descriptors are not unshared.
    Ok(unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWPID | UnshareFlags::NEWNS) }?)
}

/// Gives the calling thread a namespace of mounts of its own, and one of System V IPC and POSIX
/// message queues.
pub(crate) fn unshare_mounts_and_ipc() -> io::Result<()> {
    // SAFETY: descriptors are not unshared.
    Ok(unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::NEWIPC) }?)
}

/// Closes every inherited descriptor except the standard streams and `keep`.
pub(crate) fn close_others(keep: &[i32]) {
    let mut kept: Vec<u32> = keep.iter().map(|fd| fd.cast_unsigned()).filter(|fd| *fd > 2).collect();
    kept.sort_unstable();
    let mut first = 3u32;
    for fd in kept.into_iter().chain([u32::MAX]) {
        if fd > first {
            // SAFETY: nothing but `keep` (and the standard streams) is ours yet, so nothing that is
            // closed is used again.
            unsafe { libc::syscall(libc::SYS_close_range, first, fd - 1, 0u32) };
        }
        first = fd.saturating_add(1);
    }
}

/// Ends a process of the start-up at once, without cleaning up what another process still uses.
pub(crate) fn leave(code: i32) -> ! {
    // SAFETY: ends this process.
    unsafe { libc::_exit(code) }
}
