//! Nothing is observed without its write: no launch, no answer, no reader's view.

use muster_types::{AttemptKey, DriverRecord};

use super::super::World;
use super::Recorder;

impl Recorder {
    pub(in crate::world) fn number_transaction(&mut self) -> u64 {
        self.transactions += 1;
        self.transactions
    }
}

impl World {
    /// A leader takes a transaction for durable.
    pub(in crate::world) fn witness_durable(&mut self, id: u64) {
        if !self.store.applied.contains(&id) {
            self.violate("what is taken for written is in the store", format!("transaction {id}"));
        }
    }

    /// A worker is told to launch.
    pub(in crate::world) fn witness_launch(&mut self, worker: usize, key: AttemptKey) {
        let uid = self.workers[worker].uid;
        if self.recorder.assigned.get(&key).is_none_or(|(assigned, _)| *assigned != uid) {
            self.violate("a launch follows its write", format!("{key} on worker {worker}"));
        }
    }

    /// A client or reader is shown a driver.
    pub(in crate::world) fn witness_shown(&mut self, record: &DriverRecord) {
        let stored = self.store.ledger.fold.drivers.get(&record.uid);
        if stored.is_none_or(|stored| stored.version < record.version) {
            self.violate("readers see what is durable", record.uid.to_string());
        }
    }
}
