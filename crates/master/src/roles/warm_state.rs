//! What a master prepares while it waits to lead, so that the time of a win depends on live records
//! and not on ended ones.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use muster_core::{Config, Follower};
use muster_store::{RecordChanges, ReplicaHandle, ReplicaUpdate};
use muster_types::{Commit, EventsRecord, QuarantinedRecord, Write};

use crate::events::CommitEventsSize;
use crate::leader::LeaderSlot;
use crate::view::View;

/// How often updates from the replica of the store are applied. At a win, at most the updates of
/// this time are left.
const EVERY: Duration = Duration::from_millis(200);
/// Records that are applied before other tasks get their turn on this thread.
const AT_ONCE: usize = 1024;

/// Everything that a leader loads, as far as it is applied.
pub(crate) struct WarmState {
    config: Config,
    /// The state with which the core will begin.
    pub follower: Follower,
    /// What readers will see; nobody reads more of it yet than the tokens and roles.
    pub view: Arc<View>,
    /// Events that are kept.
    pub events: BTreeMap<Commit, (CommitEventsSize, Arc<EventsRecord>)>,
    /// Records that cannot be read.
    pub quarantined: Vec<QuarantinedRecord>,
    /// The newest commit.
    pub commit: Commit,
    /// Writes that were received and are not applied yet.
    waiting: VecDeque<Write>,
}

impl WarmState {
    pub(crate) fn new(config: Config) -> WarmState {
        WarmState {
            follower: Follower::new(config.clone()),
            config,
            view: Arc::default(),
            events: BTreeMap::new(),
            quarantined: Vec::new(),
            commit: Commit(0),
            waiting: VecDeque::new(),
        }
    }

    /// Takes an update from the replica; `settle` applies it.
    pub(crate) fn take(&mut self, update: ReplicaUpdate) {
        match update {
            ReplicaUpdate::Full(mut snapshot) => {
                let (commit, quarantined) = (snapshot.commit, std::mem::take(&mut snapshot.quarantined));
                let waiting = snapshot.into_writes().collect();
                *self = WarmState { commit, quarantined, waiting, ..WarmState::new(self.config.clone()) };
            }
            ReplicaUpdate::Delta(RecordChanges { commit, writes, quarantined }) => {
                (self.commit, self.quarantined) = (commit, quarantined);
                self.waiting.extend(writes);
            }
        }
    }

    /// Applies the waiting writes. Cancel-safe.
    pub(crate) async fn settle(&mut self) {
        while !self.waiting.is_empty() {
            let some = self.waiting.len().min(AT_ONCE);
            for write in self.waiting.drain(..some) {
                match write {
                    Write::PutEvents(record) => {
                        self.events.insert(record.commit, (CommitEventsSize::of(&record), record));
                    }
                    Write::DeleteEvents(commit) => drop(self.events.remove(&commit)),
                    write => self.follower.follow(write),
                }
            }
            self.view.advance(Commit(0), self.follower.view_updates());
            tokio::task::yield_now().await;
        }
    }

    /// Keeps up with the replica of the store, for ever. What it holds of access is known to
    /// `slot`.
    pub(crate) async fn follow(&mut self, replica: ReplicaHandle, slot: &LeaderSlot) -> Infallible {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let update = replica.update();
            let is_new = update.is_some();
            update.into_iter().for_each(|update| self.take(update));
            self.settle().await;
            // Until the first update there is nothing in it; what an earlier role left is newer.
            if is_new {
                slot.set_access(&self.view.access());
            }
        }
    }
}
