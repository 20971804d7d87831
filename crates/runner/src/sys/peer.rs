//! The peer of a socket.
#![expect(
    unsafe_code,
    reason = "rustix takes a process id of 0 for an error, which is what a process outside of our PID namespace has"
)]

use std::mem;
use std::os::fd::{AsFd, AsRawFd as _};

/// Who connected.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SocketPeer {
    pub(crate) uid: u32,
    /// In our PID namespace; 0 if it is outside of that.
    pub(crate) pid: i32,
}

/// The peer of a socket, as it was when it connected.
pub(crate) fn of(socket: impl AsFd) -> Option<SocketPeer> {
    let mut peer = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut size = mem::size_of_val(&peer) as libc::socklen_t;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: writes at most `size` bytes of the value.
    let result =
        unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERCRED, (&raw mut peer).cast(), &mut size) };
    (result == 0).then_some(SocketPeer { uid: peer.uid, pid: peer.pid })
}
