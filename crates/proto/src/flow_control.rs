//! Flow-control windows of connections that many streams share (HTTP/2, RFC 9113, section 5.2).
//!
//! A stream whose receiver stops reading fills its own window, and takes as much from the window of
//! its connection. A connection's window that is smaller than the sum of its streams' is used up by
//! a few such streams, and then every other stream of the connection stands still as well. So a
//! window here is always the sum for the most streams that the server allows. The sum is no memory
//! that is set aside: what a receiver holds is bounded by what its streams hold.

/// Streams of one connection to a master. A watch takes one; a program that follows several objects
/// names them all in one watch.
pub const MASTER_STREAMS: u32 = 4096;
/// Streams of one connection to a worker, most of which are readers of logs.
pub const WORKER_STREAMS: u32 = 1024;

/// The windows of one end of a connection, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// How much a stream may carry that was not read yet.
    pub stream: u32,
    /// The same of all streams together.
    pub connection: u32,
}

impl Windows {
    /// Between machines of one network, where an answer takes a millisecond at most: 64 KiB a
    /// stream still carry 64 MB/s. All streams to a master hold at most 256 MiB.
    pub const AMONG_MASTERS: Windows = Windows::of(MASTER_STREAMS, 64 << 10);
    /// The same for what a worker sends to a master. All its streams hold at most 64 MiB.
    pub const OF_WORKER: Windows = Windows::of(WORKER_STREAMS, 64 << 10);
    /// At a master, for what workers and clients send: a stream has room for a fourth of the
    /// largest request or a batch of reports. All streams hold at most 1 GiB.
    pub const OF_MASTER: Windows = Windows::of(MASTER_STREAMS, 256 << 10);
    /// At a client, which may be far away: 256 KiB a stream carry 5 MB/s over 50 ms, where 64 KiB
    /// would stall lists and logs. The streams that it opens hold at most 1 GiB.
    pub const OF_CLIENT: Windows = Windows::of(MASTER_STREAMS, 256 << 10);

    /// The windows for so many streams of this window each. A sum above what HTTP/2 allows does not
    /// compile.
    const fn of(streams: u32, stream: u32) -> Windows {
        let sum = streams as u64 * stream as u64;
        assert!(sum < 1 << 31, "a window is below 2 GiB");
        Windows { stream, connection: sum as u32 }
    }
}
