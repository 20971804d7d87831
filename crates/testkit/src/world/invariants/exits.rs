//! An exit code is the true one of its attempt. (That it is reported once is the ledger's rule:
//! terminal is terminal.)

use muster_types::{AttemptKey, DriverRecord, Exit};

use super::super::World;
use super::Recorder;

impl Recorder {
    pub(in crate::world) fn exited(&mut self, key: AttemptKey, exit: Exit) {
        self.exits.insert(key, exit);
    }

    pub(in crate::world) fn exit_of(&self, key: AttemptKey) -> Option<Exit> {
        self.exits.get(&key).copied()
    }
}

impl World {
    pub(super) fn check_exits(&mut self, record: &DriverRecord) {
        for attempt in &record.attempts {
            let Some(exit) = attempt.outcome.as_ref().map(|outcome| outcome.exit) else { continue };
            let key = AttemptKey::Driver(record.uid, attempt.number);
            let truth = self.recorder.exit_of(key);
            if exit != Exit::None && truth != Some(exit) {
                self.violate("an exit code is the true one", format!("{key}: {exit:?}, in truth {truth:?}"));
            }
        }
    }
}
