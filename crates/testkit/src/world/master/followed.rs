//! What a standby knows of the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_core::Follower;
use muster_types::{Commit, EventsRecord, Write};

use crate::world::plan::{Plan, config};

/// Everything that was written up to a commit.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) commit: Commit,
    /// The newest commit whose writes the watch has on their way.
    pub(super) coming: Commit,
    pub(super) follower: Follower,
    pub(super) log: BTreeMap<Commit, Arc<EventsRecord>>,
}

impl Followed {
    /// A standby that knows nothing yet.
    pub(super) fn new(plan: &Plan) -> Followed {
        let follower = Follower::new(config(plan.launch_progress));
        Followed { commit: Commit(0), coming: Commit(0), follower, log: BTreeMap::new() }
    }

    /// Takes in the writes after the present commit, up to `newest`.
    pub(super) fn take(&mut self, newest: Commit, writes: impl Iterator<Item = Write>) {
        for write in writes {
            match write {
                Write::PutEvents(record) => drop(self.log.insert(record.commit, record)),
                Write::DeleteEvents(commit) => drop(self.log.remove(&commit)),
                write => self.follower.follow(write),
            }
        }
        // There are no readers here.
        self.follower.view_updates().for_each(drop);
        self.commit = newest;
    }
}
