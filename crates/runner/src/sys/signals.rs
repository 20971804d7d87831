//! Signals as messages: all are blocked, and those that matter are read from a descriptor.
#![expect(unsafe_code, reason = "rustix has neither signal dispositions nor signalfd")]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::{io, mem, ptr};

/// The kernel's `sigaction`: handler, flags, restorer, mask.
const DEFAULT: [u64; 4] = [0; 4];
const KERNEL_SET_BYTES: usize = 8;

/// Gives every signal its default meaning and blocks all that can be blocked. An ignored signal
/// would stay ignored in every program started (the standard library ignores SIGPIPE, a `nohup`
/// ignores SIGHUP); a handler would not survive exec anyway.
pub(crate) fn reset_and_block() {
    // SAFETY: system calls on numbers and local sets. Faults of our own (SIGSEGV and the like) are
    // delivered even if blocked.
    unsafe {
        for signal in 1..=64 {
            if ![libc::SIGKILL, libc::SIGSTOP, libc::SIGSEGV, libc::SIGBUS].contains(&signal) {
                // Not libc's `signal`: it keeps two signals for itself, which may be ignored as
                // well. All zeros mean the default.
                libc::syscall(libc::SYS_rt_sigaction, signal, &DEFAULT, ptr::null::<u64>(), KERNEL_SET_BYTES);
            }
        }
        let mut all: libc::sigset_t = mem::zeroed();
        libc::sigfillset(&mut all);
        libc::sigprocmask(libc::SIG_SETMASK, &all, ptr::null_mut());
    }
}

/// A signal that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Some child has ended.
    Child,
    /// Somebody asks the runner to end.
    Terminate {
        /// The sender's pid in our PID namespace; 0 if the sender is outside of it.
        sender: u32,
    },
}

/// Reads SIGCHLD and SIGTERM.
pub(crate) struct SignalFd(OwnedFd);

impl SignalFd {
    pub(crate) fn new() -> io::Result<SignalFd> {
        // SAFETY: a local set, and a descriptor that the kernel has just made for us.
        unsafe {
            let mut set: libc::sigset_t = mem::zeroed();
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, libc::SIGCHLD);
            libc::sigaddset(&mut set, libc::SIGTERM);
            match libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
                fd if fd < 0 => Err(io::Error::last_os_error()),
                fd => Ok(SignalFd(OwnedFd::from_raw_fd(fd))),
            }
        }
    }

    /// The next signal that waits.
    pub(crate) fn take(&self) -> Option<Signal> {
        loop {
            // SAFETY: plain numbers.
            let mut info: libc::signalfd_siginfo = unsafe { mem::zeroed() };
            let size = mem::size_of_val(&info);
            // SAFETY: reads at most its size into it.
            let read = unsafe { libc::read(self.0.as_raw_fd(), (&raw mut info).cast(), size) };
            if read != size.cast_signed() {
                return None;
            }
            match info.ssi_signo.cast_signed() {
                libc::SIGCHLD => return Some(Signal::Child),
                libc::SIGTERM => return Some(Signal::Terminate { sender: info.ssi_pid }),
                _ => {}
            }
        }
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
