//! The promise of one copy, checked on the processes.

use std::collections::BTreeMap;

use muster_types::{AttemptKey, DriverUid, Exit, Reason};

use crate::Run;
use crate::support::words::worker_uid;

impl Run {
    /// Checks that at most one tree of a driver executes, that nothing of a closed attempt
    /// executes, and that recorded exit codes are the true ones.
    pub(crate) fn check_processes(&self) {
        let fold = &self.world.ledger.fold;
        let mut alive: BTreeMap<DriverUid, AttemptKey> = BTreeMap::new();
        for key in self.machines.iter().flat_map(|machine| machine.running().collect::<Vec<_>>()) {
            let closed = match key {
                AttemptKey::Driver(uid, number) => {
                    let before = alive.insert(uid, key);
                    assert!(before.is_none(), "two copies: {before:?} and {key}: {:#?}", self.trace);
                    let record = fold.drivers.get(&uid);
                    record.is_none_or(|record| {
                        record.attempts.iter().all(|attempt| attempt.number != number || attempt.outcome.is_some())
                    })
                }
                AttemptKey::Executor(uid, id) => {
                    fold.executors_of(uid).get(&id).is_none_or(|executor| executor.outcome.is_some())
                }
            };
            assert!(!closed || self.past.forgotten.contains(&key), "closed, and executes: {key}: {:#?}", self.trace);
        }
        for record in fold.drivers.values() {
            for attempt in &record.attempts {
                let key = AttemptKey::Driver(record.uid, attempt.number);
                let lost = attempt.outcome.as_ref().is_some_and(|outcome| outcome.reason == Reason::Lost);
                let machine = self.machines.iter().find(|machine| worker_uid(&machine.name) == attempt.worker);
                let stands = machine.is_some_and(|machine| machine.incarnation == attempt.incarnation.counter);
                let leased = record.spec.on_worker_lost.is_leased();
                assert!(
                    !lost || leased || !stands || self.was_over_before_a_restore(key),
                    "closed as lost, and merely out of reach: {key}: {:#?}",
                    self.trace
                );
                if let Some(Exit::Code(code)) = attempt.outcome.as_ref().map(|outcome| outcome.exit) {
                    assert_eq!(self.exits.get(&key), Some(&code), "{key}");
                }
            }
        }
    }
}
