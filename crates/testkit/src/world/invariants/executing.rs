//! At most one copy of a driver executes, over all machines. An attempt that is closed, or was
//! never assigned to its machine, executes nowhere, so a KILLED driver leaves nothing. An attempt
//! starts once.

use std::collections::BTreeMap;

use muster_types::{AttemptKey, DriverUid};

use super::super::{Sabotage, World};

impl World {
    pub(super) fn check_executing(&mut self) {
        let mut found: Vec<(&'static str, String)> = Vec::new();
        let mut copies: BTreeMap<DriverUid, AttemptKey> = BTreeMap::new();
        for machine in &self.workers {
            for (key, _) in machine.trees.iter().filter(|(_, tree)| tree.executes()) {
                if let AttemptKey::Driver(uid, _) = key
                    && let Some(other) = copies.insert(*uid, *key)
                {
                    found.push(("one copy executes", format!("{other} and {key} (on {})", machine.name)));
                }
                if self.is_closed(*key) {
                    found.push(("what is closed executes nowhere", format!("{key} on {}", machine.name)));
                }
            }
        }
        // With clocks beyond their bound the lease promises nothing.
        if self.sabotaged(Sabotage::DriftBeyondBound) && !found.is_empty() {
            return self.count("overlap under wild clocks");
        }
        for (rule, what) in found {
            self.violate(rule, what);
        }
    }

    fn is_closed(&self, key: AttemptKey) -> bool {
        let fold = &self.store.ledger.fold;
        match key {
            AttemptKey::Driver(uid, number) => fold.drivers.get(&uid).is_none_or(|record| {
                record.attempts.iter().all(|attempt| attempt.number != number || attempt.outcome.is_some())
            }),
            AttemptKey::Executor(uid, id) => fold.executor(uid, id).is_none_or(|executor| executor.outcome.is_some()),
        }
    }

    pub(in crate::world) fn witness_started(&mut self, worker: usize, key: AttemptKey) {
        if !self.recorder.started.insert(key) {
            self.violate("an attempt starts once", key.to_string());
        }
        let machine = &self.workers[worker];
        let here = machine.runner.as_ref().map(|runner| (machine.uid, runner.incarnation));
        if self.recorder.assigned.get(&key).copied() != here {
            self.violate("an attempt starts where it was assigned", format!("{key} on {}", machine.name));
        }
    }
}
