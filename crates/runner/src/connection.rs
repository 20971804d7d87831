//! Connections of agents.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use muster_agent::runner_protocol::{FrameError, FrameReader, Framed as _, ToAgent, ToRunner};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen,
    recv, send, socket_with,
};

use crate::sys;

/// Bytes that an agent may leave unread before its connection is cut. It takes the inventory when
/// it comes back.
const MAX_UNREAD: usize = 16 * 1024 * 1024;

/// Bytes of one read.
const READ_BYTES: usize = 16 * 1024;

/// How long a runner may take to answer the question whether it serves.
const ANSWER_PATIENCE: Duration = Duration::from_secs(1);

/// Connections that wait to be accepted.
const BACKLOG: i32 = 16;

/// The socket in the state directory.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: OwnedFd,
    refuses_own_namespace: bool,
}

impl Listener {
    /// Serves this path, in place of a socket that an earlier runner left. A runner that is the
    /// first process of a PID namespace refuses what connects from within it: those are the
    /// programs that it runs, and the agent is outside.
    pub(crate) fn bind(path: &Path, refuses_own_namespace: bool) -> io::Result<Listener> {
        match std::fs::remove_file(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        let (address, _parent) = address(path)?;
        bind(&socket, &address)?;
        rustix::fs::chmod(path, Mode::RUSR | Mode::WUSR)?;
        listen(&socket, BACKLOG)?;
        Ok(Listener { socket, refuses_own_namespace })
    }

    /// The next waiting connection of our own user or the superuser; others are dropped.
    pub(crate) fn accept(&self) -> Option<OwnedFd> {
        let own = rustix::process::geteuid().as_raw();
        loop {
            match accept_with(&self.socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(socket) => {
                    let is_ours = |peer: sys::peer::SocketPeer| {
                        (peer.uid == own || peer.uid == 0) && !(self.refuses_own_namespace && peer.pid != 0)
                    };
                    if sys::peer::of(&socket).is_some_and(is_ours) {
                        return Some(socket);
                    }
                }
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                // A waiting connection stays, also when too many files are open.
                Err(_) => return None,
            }
        }
    }
}

/// Whether a runner serves this socket: it must answer. The message is not a hello, so the agent's
/// connection is not touched. A successful connect would prove nothing: a dying process still holds
/// its socket.
pub(crate) fn is_served(path: &Path) -> bool {
    let answered = || -> io::Result<bool> {
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        let (address, _parent) = address(path)?;
        connect(&socket, &address)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_PATIENCE))?;
        let mut frame = Vec::new();
        ToRunner::Ping(0).append_frame(&mut frame);
        send(&socket, &frame, SendFlags::NOSIGNAL)?;
        let (length, _) = recv(&socket, &mut [0; 64], RecvFlags::empty())?;
        Ok(length > 0)
    };
    answered().unwrap_or(false)
}

/// A path that is too long for a socket's address is reached through its directory's descriptor,
/// which must stay open until the address was used.
fn address(path: &Path) -> io::Result<(SocketAddrUnix, Option<OwnedFd>)> {
    if let Ok(address) = SocketAddrUnix::new(path) {
        return Ok((address, None));
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = rustix::fs::open(parent, flags, Mode::empty())?;
    let short = Path::new("/proc/self/fd").join(parent.as_raw_fd().to_string()).join(name);
    Ok((SocketAddrUnix::new(&short)?, Some(parent)))
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct AgentConnection {
    socket: OwnedFd,
    reader: FrameReader<ToRunner>,
    out: Vec<u8>,
    sent: usize,
}

/// Why a connection ends.
#[derive(Debug)]
pub(crate) enum ConnectionEnd {
    /// The peer closed it, or the kernel did.
    Closed,
    /// The peer does not read what it is sent.
    Stuck,
    /// What it sends is not the protocol.
    Frame(FrameError),
}

/// What a read found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadResult {
    /// Something arrived; there may be more.
    Some,
    /// Nothing waits.
    Nothing,
}

impl AgentConnection {
    pub(crate) fn new(socket: OwnedFd) -> AgentConnection {
        AgentConnection { socket, reader: FrameReader::default(), out: Vec::new(), sent: 0 }
    }

    /// Reads once what has arrived. All messages must have been taken before.
    pub(crate) fn read(&mut self) -> Result<ReadResult, ConnectionEnd> {
        let mut buffer = [0; READ_BYTES];
        match recv(&self.socket, &mut buffer, RecvFlags::DONTWAIT) {
            Ok((0, _)) => Err(ConnectionEnd::Closed),
            Ok((length, _)) => {
                self.reader.push(&buffer[..length]);
                Ok(ReadResult::Some)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(ReadResult::Nothing),
            Err(_) => Err(ConnectionEnd::Closed),
        }
    }

    /// The next message that has arrived whole.
    pub(crate) fn take(&mut self) -> Result<Option<ToRunner>, ConnectionEnd> {
        self.reader.take().map_err(ConnectionEnd::Frame)
    }

    /// Adds a message to what is to be sent.
    pub(crate) fn push(&mut self, message: &ToAgent) {
        message.append_frame(&mut self.out);
    }

    /// Sends as much as the peer takes now. Returns whether everything is sent.
    pub(crate) fn send(&mut self) -> Result<bool, ConnectionEnd> {
        while self.sent < self.out.len() {
            match send(&self.socket, &self.out[self.sent..], SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(length) => self.sent += length,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(_) => return Err(ConnectionEnd::Closed),
            }
        }
        self.out.drain(..self.sent);
        self.sent = 0;
        if self.out.len() > MAX_UNREAD {
            return Err(ConnectionEnd::Stuck);
        }
        if self.out.is_empty() && self.out.capacity() > READ_BYTES {
            self.out = Vec::new();
        }
        Ok(self.out.is_empty())
    }
}

impl AsFd for AgentConnection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
