//! Drivers, applications, attempts and executors that ended never change; attempt numbers only
//! grow; and one request id makes one driver.

use muster_types::{DriverRecord, Write};

use super::{Fold, InvariantViolation, violate};

pub(super) fn check(fold: &Fold, write: &Write, found: &mut Vec<InvariantViolation>) {
    match write {
        Write::PutDriver(record) => check_driver(fold, record, found),
        Write::PutApplication(record) => {
            let Some(before) = fold.applications.get(&record.uid) else { return };
            if before.state.is_terminal() && before.state != record.state {
                violate(found, "terminal is terminal", format!("application {}", record.id));
            }
            if record.version <= before.version || record.next_executor < before.next_executor {
                violate(found, "numbers only grow", format!("application {}", record.id));
            }
        }
        Write::PutExecutors(record) => {
            for executor in &record.executors {
                let before = fold.executor(record.application, executor.id).and_then(|before| before.outcome.as_ref());
                if before.is_some() && before != executor.outcome.as_ref() {
                    violate(found, "terminal is terminal", format!("executor {}", executor.id));
                }
            }
        }
        Write::PutWorker(record) => {
            let Some(before) = fold.workers.get(&record.uid) else { return };
            if before.forgotten && !record.forgotten {
                violate(found, "terminal is terminal", format!("worker {}", record.name));
            }
            if record.incarnation < before.incarnation {
                violate(found, "numbers only grow", format!("worker {}", record.name));
            }
        }
        Write::DeleteDriver(uid) => {
            if fold.drivers.get(uid).is_some_and(|record| !record.state.is_terminal()) {
                violate(found, "only what ended is removed", uid.to_string());
            }
        }
        Write::DeleteApplication(uid) => {
            if fold.applications.get(uid).is_some_and(|record| !record.state.is_terminal()) {
                violate(found, "only what ended is removed", uid.to_string());
            }
        }
        Write::PutToken(record) => {
            let Some(before) = fold.tokens.get(&record.id) else { return };
            if before.revoked.is_some() && before.revoked != record.revoked {
                violate(found, "terminal is terminal", format!("token {}", record.id));
            }
            if (&before.name, before.digest, before.grant) != (&record.name, record.digest, record.grant) {
                violate(found, "a token is for one caller", format!("token {}", record.id));
            }
        }
        Write::DeleteToken(id) => {
            if fold.tokens.get(id).is_some_and(|record| record.ends().is_none()) {
                violate(found, "only what ended is removed", format!("token {id}"));
            }
        }
        Write::DeleteExecutors(..)
        | Write::DeleteWorker(_)
        | Write::PutRoles(_)
        | Write::PutEvents(_)
        | Write::DeleteEvents(_) => {}
    }
}

fn check_driver(fold: &Fold, record: &DriverRecord, found: &mut Vec<InvariantViolation>) {
    let other = fold.drivers.values().find(|other| {
        other.uid != record.uid
            && (other.id == record.id || (other.request.is_some() && other.request == record.request))
    });
    if let Some(other) = other {
        violate(found, "one request, one name, one driver", format!("{} and {}", record.id, other.id));
    }
    let Some(before) = fold.drivers.get(&record.uid) else { return };
    if before.state.is_terminal() {
        violate(found, "terminal is terminal", format!("driver {}", record.id));
    }
    if record.version <= before.version {
        violate(found, "numbers only grow", format!("driver {}", record.id));
    }
    for old in &before.attempts {
        let new = record.attempts.iter().find(|attempt| attempt.number == old.number);
        if let Some(new) = new.filter(|new| old.outcome.is_some() && new.outcome != old.outcome) {
            violate(found, "terminal is terminal", format!("attempt {} of {}", new.number, record.id));
        }
        if new.is_none() && old.outcome.is_none() {
            violate(found, "no next attempt before the last is closed", format!("driver {}", record.id));
        }
    }
}
