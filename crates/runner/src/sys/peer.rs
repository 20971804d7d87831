//! The peer of a socket.
#![expect(
    unsafe_code,
    reason = "rustix takes a process id of 0 for an error, which is what a process outside of our PID namespace has"
)]

use std::mem;
use std::os::fd::{AsFd, AsRawFd as _};

/// The user of the peer.
pub(crate) fn uid(socket: impl AsFd) -> Option<u32> {
    let mut peer = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut size = mem::size_of_val(&peer) as libc::socklen_t;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: writes at most `size` bytes of the value.
    let result =
        unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERCRED, (&raw mut peer).cast(), &mut size) };
    (result == 0).then_some(peer.uid)
}
