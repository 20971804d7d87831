//! Who can reach whom, and streams. Messages keep their order within a stream, but not across
//! streams; messages of a broken stream arrive late or not at all.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_types::{Session, WorkerUid};

use super::clock::Instant;
use super::rng::Rng;

/// A machine on the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Node {
    Master(usize),
    Worker(usize),
    Client,
    Store,
}

/// A stream between a worker's agent and a master.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StreamId(pub(super) u64);

/// One direction of a stream.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pipe {
    last: Instant,
    sent: u64,
    /// Messages from this number on are lost.
    cut: Option<u64>,
}

impl Pipe {
    /// Numbers a message and returns when it arrives; `None` if it is lost.
    pub(super) fn send(&mut self, earliest: Instant) -> Option<(u64, Instant)> {
        if self.cut.is_some() {
            return None;
        }
        let number = self.sent;
        self.sent += 1;
        self.last = self.last.max(earliest);
        Some((number, self.last))
    }

    pub(super) fn loses(&self, number: u64) -> bool {
        self.cut.is_some_and(|cut| number >= cut)
    }

    /// A message could not be delivered yet: no later one overtakes it.
    pub(super) fn hold(&mut self, until: Instant) {
        self.last = self.last.max(until);
    }

    /// Loses the last messages that were sent, as many as `lost`, and all that follow.
    pub(super) fn cut(&mut self, lost: u64) {
        if self.cut.is_none() {
            self.cut = Some(self.sent.saturating_sub(lost));
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Stream {
    pub(super) worker: usize,
    pub(super) uid: WorkerUid,
    /// The life of the agent that opened it.
    pub(super) agent: u64,
    pub(super) session: Session,
    pub(super) master: usize,
    /// The life of the master that took it.
    pub(super) life: u64,
    pub(super) up: Pipe,
    pub(super) down: Pipe,
    /// Broken by the network or by a death: each end learns of it at its own time.
    pub(super) broken: bool,
}

/// The network.
#[derive(Debug, Default)]
pub(super) struct Network {
    pub(super) streams: BTreeMap<StreamId, Stream>,
    next: u64,
    /// Blocked ways from one node to another, each from a start to an end.
    blocked: BTreeMap<(Node, Node), Vec<(Instant, Instant)>>,
}

impl Network {
    pub(super) fn open(&mut self, stream: Stream) -> StreamId {
        self.next += 1;
        self.streams.insert(StreamId(self.next), stream);
        StreamId(self.next)
    }

    /// Blocks one way between two moments.
    pub(super) fn block(&mut self, from: Node, to: Node, start: Instant, end: Instant) {
        self.blocked.entry((from, to)).or_default().push((start, end));
    }

    /// Until when one way is blocked; `None` if it is not.
    pub(super) fn blocked(&self, from: Node, to: Node, now: Instant) -> Option<Instant> {
        let times = self.blocked.get(&(from, to))?;
        times.iter().filter(|(start, end)| *start <= now && now < *end).map(|(_, end)| *end).max()
    }

    pub(super) fn heal(&mut self) {
        self.blocked.clear();
    }

    /// How long a message takes: mostly little, sometimes long.
    pub(super) fn latency(rng: &mut Rng, calm: bool) -> Duration {
        let micros = match rng.roll(200) {
            0 if !calm => rng.between(500_000, 6_000_000),
            1..=10 if !calm => rng.between(5_000, 700_000),
            _ => rng.between(100, 4_000),
        };
        Duration::from_micros(micros)
    }
}
