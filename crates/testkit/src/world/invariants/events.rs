//! Events are told without gap or repeat, through every failover.

use muster_types::Commit;

use super::super::World;

impl World {
    pub(in crate::world) fn witness_events(&mut self, seen: Commit, told: &[Commit]) {
        self.count("watch resumed");
        let Some(newest) = told.last().copied() else { return };
        let stored: Vec<Commit> = self.witness.commits.range(seen.next()..=newest).copied().collect();
        if stored != told {
            self.violate("events have no gap", format!("after {seen:?}: told {told:?}, stored {stored:?}"));
        }
    }
}
