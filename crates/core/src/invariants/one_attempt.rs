//! At most one attempt of a driver is open, and every open attempt is assigned to exactly one
//! worker: its own.

use std::collections::BTreeMap;

use muster_types::{AttemptKey, WorkerUid};

use super::{InvariantViolation, violate};
use crate::Core;

pub(super) fn check(core: &Core, found: &mut Vec<InvariantViolation>) {
    let open = open_attempts(core, found);
    let mut booked: BTreeMap<AttemptKey, WorkerUid> = BTreeMap::new();
    for worker in core.workers.iter() {
        for key in worker.assigned.keys() {
            if booked.insert(*key, worker.record.uid).is_some() {
                violate(found, "an attempt has one worker", key.to_string());
            }
        }
    }
    if open != booked {
        violate(found, "books agree", format!("open {open:?}, booked {booked:?}"));
    }
}

fn open_attempts(core: &Core, found: &mut Vec<InvariantViolation>) -> BTreeMap<AttemptKey, WorkerUid> {
    let mut open = BTreeMap::new();
    let mut placed = 0;
    for driver in core.drivers.iter() {
        let record = &driver.record;
        let mut unclosed = record.attempts.iter().filter(|attempt| attempt.outcome.is_none());
        if let Some(attempt) = unclosed.next() {
            placed += 1;
            open.insert(AttemptKey::Driver(record.uid, attempt.number), attempt.worker);
        }
        if unclosed.next().is_some() {
            violate(found, "one open attempt", record.id.to_string());
        }
        if driver.live.is_terminal() && driver.open_attempt().is_some() {
            violate(found, "terminal means closed", record.id.to_string());
        }
    }
    if placed != core.drivers.placed {
        violate(found, "books agree", format!("{placed} drivers placed, {} counted", core.drivers.placed));
    }
    for application in core.applications.iter() {
        for executor in application.executors().filter(|executor| executor.is_open()) {
            open.insert(application.key(executor.record.id), executor.record.worker);
        }
        if application.record.state.is_terminal() && !application.open.is_empty() {
            violate(found, "terminal means closed", application.record.id.to_string());
        }
    }
    open
}
