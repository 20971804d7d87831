//! Exactly the drivers that wait for a worker are in the queue, so that an acknowledged submission
//! reaches an end.

use muster_types::DriverState;

use super::{InvariantViolation, violate};
use crate::Core;

pub(super) fn check(core: &Core, found: &mut Vec<InvariantViolation>) {
    for driver in core.drivers.iter() {
        let ending = driver.applications.iter().filter_map(|uid| core.applications.get(*uid));
        let held = ending.clone().any(|application| !application.record.state.is_terminal())
            || core.restore.holds(driver.record.uid);
        let waits = driver.live == DriverState::Pending && !held;
        if waits != core.waiting.contains(driver.record.uid) {
            let what = format!("{} is {}, held {held}", driver.record.id, driver.live.as_str());
            violate(found, "what waits is queued", what);
        }
        if core.restore.holds(driver.record.uid) && driver.live.is_terminal() {
            violate(found, "what ended is not held", driver.record.id.to_string());
        }
        if driver.live == DriverState::BackingOff && driver.retry.is_none() {
            violate(found, "a back-off ends", driver.record.id.to_string());
        }
    }
}
