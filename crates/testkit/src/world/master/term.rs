//! What exists while a master leads.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use muster_core::liveness::LivenessTable;
use muster_core::{CallId, Core, Effect, Group, Input, LinkId, Request};
use muster_types::{ApplicationUid, Commit, Epoch, EventsRecord, Incarnation, Now, Time};

use crate::world::clock::Instant;
use crate::world::network::StreamId;
use crate::world::rng::Rng;
use crate::world::store::Transaction;

/// A client that waits for an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    pub(in crate::world) call: u64,
}

/// The commit loop's side of a link.
#[derive(Debug, Clone, Copy)]
pub(in crate::world) struct Handle {
    pub(in crate::world) stream: StreamId,
    pub(in crate::world) received: Time,
    pub(in crate::world) incarnation: Incarnation,
}

/// What waits for the loop.
#[derive(Debug)]
pub(in crate::world) enum Waiting {
    Link(Input),
    Call(Caller, Request),
}

/// The transaction that is with the store.
#[derive(Debug)]
pub(in crate::world) struct Flight {
    pub(in crate::world) transaction: Arc<Transaction>,
    pub(in crate::world) effects: Vec<Effect>,
    pub(in crate::world) record: Option<Arc<EventsRecord>>,
    pub(in crate::world) tries: u32,
}

/// Why a term ends, once nothing is in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::world) enum Stop {
    /// It was told to hand over.
    Told,
    /// Its deadline has passed, or its key is gone.
    Ended,
}

#[derive(Debug)]
pub(in crate::world) struct Active {
    pub(in crate::world) term: u64,
    pub(in crate::world) epoch: Epoch,
    pub(in crate::world) core: Core,
    pub(in crate::world) entropy: Rng,
    pub(in crate::world) table: LivenessTable,
    pub(in crate::world) links: BTreeMap<LinkId, Handle>,
    pub(in crate::world) inbox: Vec<Waiting>,
    pub(in crate::world) turn_is_due: bool,
    pub(in crate::world) handled: usize,
    pub(in crate::world) backlog: VecDeque<Group>,
    pub(in crate::world) newest: Commit,
    pub(in crate::world) flight: Option<Flight>,
    pub(in crate::world) calls: BTreeMap<CallId, Caller>,
    pub(in crate::world) next_call: u64,
    /// How far the core's time lies behind the clock.
    pub(in crate::world) behind: Duration,
    pub(in crate::world) deadline_at: Option<Instant>,
    /// Commits whose events are reported to watchers.
    pub(in crate::world) log: BTreeMap<Commit, Arc<EventsRecord>>,
    /// Sessions that clients hold here.
    pub(in crate::world) sessions: BTreeSet<(ApplicationUid, u64)>,
    pub(in crate::world) stop: Option<Stop>,
}

impl Active {
    /// The time that is given to the core.
    pub(in crate::world) fn core_now(&self, now: Now) -> Now {
        Now { time: now.time - self.behind, wall: now.wall }
    }
}
