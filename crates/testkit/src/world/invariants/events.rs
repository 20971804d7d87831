//! Events are reported without gap or repeat, through every failover.

use muster_types::Commit;

use super::super::World;

impl World {
    pub(in crate::world) fn witness_events(&mut self, seen: Commit, reported: &[Commit]) {
        self.count("watch resumed");
        let Some(newest) = reported.last().copied() else { return };
        let stored: Vec<Commit> = self.recorder.commits.range(seen.next()..=newest).copied().collect();
        if stored != reported {
            self.violate("events have no gap", format!("after {seen:?}: told {reported:?}, stored {stored:?}"));
        }
    }
}
