//! Epochs and incarnations only grow at each worker.

use muster_types::{Epoch, Incarnation};

use super::super::World;

impl World {
    pub(in crate::world) fn witness_epoch(&mut self, worker: usize, epoch: Epoch) {
        self.count("worker registered");
        let uid = self.workers[worker].uid;
        if let Some(before) = self.recorder.epochs.insert(uid, epoch)
            && before.number() > epoch.number()
        {
            self.violate("epochs only grow", format!("worker {worker}: {before} then {epoch}"));
        }
    }

    pub(in crate::world) fn witness_incarnation(&mut self, worker: usize, incarnation: Incarnation) {
        let uid = self.workers[worker].uid;
        if let Some(before) = self.recorder.incarnations.insert(uid, incarnation)
            && before >= incarnation
        {
            self.violate("incarnations only grow", format!("worker {worker}"));
        }
    }
}
