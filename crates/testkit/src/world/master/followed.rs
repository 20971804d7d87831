//! What a standby knows of the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_core::Follower;
use muster_types::{Commit, EventsRecord, Write};

use crate::world::plan::config;

/// Everything that was written up to a commit.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) commit: Commit,
    /// What the watch has on its way goes up to this one.
    pub(super) coming: Commit,
    pub(super) follower: Follower,
    pub(super) log: BTreeMap<Commit, Arc<EventsRecord>>,
}

impl Followed {
    /// Nothing yet.
    pub(super) fn new() -> Followed {
        Followed { commit: Commit(0), coming: Commit(0), follower: Follower::new(config()), log: BTreeMap::new() }
    }

    /// Takes in what was written after it.
    pub(super) fn take(&mut self, newest: Commit, writes: impl Iterator<Item = Write>) {
        for write in writes {
            match write {
                Write::PutEvents(record) => drop(self.log.insert(record.commit, record)),
                Write::DeleteEvents(commit) => drop(self.log.remove(&commit)),
                write => self.follower.follow(write),
            }
        }
        // Nobody reads here.
        self.follower.shows().for_each(drop);
        self.commit = newest;
    }
}
