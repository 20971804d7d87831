//! The attempt after a failed launch waits for a pause.

use muster_types::{DriverRecord, DriverState, Write};

use super::{Fold, InvariantViolation, violate};
use crate::restart;

pub(super) fn check(fold: &Fold, write: &Write, found: &mut Vec<InvariantViolation>) {
    let Write::PutDriver(record) = write else { return };
    let was_open = fold.drivers.get(&record.uid).and_then(|before| before.attempts.last()).is_some_and(|before| {
        before.outcome.is_none() && record.attempts.last().is_some_and(|after| after.number == before.number)
    });
    if was_open && has_failed_to_launch(record) && !pauses(record) {
        violate(found, "a failed launch is followed by a pause", format!("driver {}", record.id));
    }
}

fn has_failed_to_launch(record: &DriverRecord) -> bool {
    record.attempts.last().is_some_and(|newest| {
        let outcome = newest.outcome.as_ref();
        outcome.is_some_and(|outcome| restart::is_platform_launch_failure(outcome, newest.launch_timed_out))
    })
}

fn pauses(record: &DriverRecord) -> bool {
    record.state == DriverState::BackingOff || record.state.is_terminal()
}
