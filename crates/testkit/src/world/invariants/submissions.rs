//! An acknowledged submission is never lost, and the same request is the same driver.

use muster_types::{DriverRecord, RequestId};

use super::super::World;

impl World {
    pub(in crate::world) fn witness_acknowledged(&mut self, id: &RequestId, record: &DriverRecord) {
        self.count("submission acknowledged");
        self.witness_shown(record);
        let before = self.recorder.acknowledged.insert(id.clone(), record.uid);
        if let Some(before) = before.filter(|before| *before != record.uid) {
            self.violate("one request, one driver", format!("{id}: {before} and {}", record.uid));
        }
        self.check_acknowledged();
    }

    pub(super) fn check_acknowledged(&mut self) {
        let drivers = &self.store.ledger.fold.drivers;
        let missing = self.recorder.acknowledged.values().find(|uid| !drivers.contains_key(uid));
        if let Some(uid) = missing.copied() {
            self.violate("what is acknowledged is kept", uid.to_string());
        }
    }

    pub(in crate::world) fn witness_kill_answered(&mut self, record: &DriverRecord) {
        self.count("kill acknowledged");
        let stored = self.store.ledger.fold.drivers.get(&record.uid);
        let asked = stored.is_some_and(|stored| stored.kill.is_some() || stored.state.is_terminal());
        if !asked {
            self.violate("a kill that is answered is written", record.uid.to_string());
        }
    }
}
