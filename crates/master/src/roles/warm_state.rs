//! What a master prepares while it waits to lead, so that its win costs what is alive and not what
//! has ended.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use muster_core::{Config, Follower};
use muster_store::{RecordChanges, ReplicaHandle, ReplicaUpdate};
use muster_types::{Commit, EventsRecord, QuarantinedRecord, Write};

use crate::events::CommitEventsSize;
use crate::view::View;

/// How often what the store's copy has learned is put in place: what is left at a win is of this
/// long.
const EVERY: Duration = Duration::from_millis(200);
/// Records put in place before others get their turn on this thread.
const AT_ONCE: usize = 1024;

/// Everything that a leader loads, as far as it is in place.
pub(crate) struct WarmState {
    config: Config,
    /// What the core will begin with.
    pub follower: Follower,
    /// What readers will see; nobody reads it yet.
    pub view: Arc<View>,
    /// Events that are kept.
    pub events: BTreeMap<Commit, (CommitEventsSize, Arc<EventsRecord>)>,
    /// Records that cannot be read.
    pub quarantined: Vec<QuarantinedRecord>,
    /// The newest commit.
    pub commit: Commit,
    /// What was learned and is not in place.
    waiting: VecDeque<Write>,
}

impl WarmState {
    /// Nothing yet.
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

    /// Learns something.
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

    /// Puts in place what waits. May be dropped halfway.
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
            self.view.advance(Commit(0), self.follower.shows());
            tokio::task::yield_now().await;
        }
    }

    /// Keeps up with the copy of the store, for ever.
    pub(crate) async fn follow(&mut self, replica: ReplicaHandle) -> Infallible {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Some(update) = replica.update() {
                self.take(update);
            }
            self.settle().await;
        }
    }
}
