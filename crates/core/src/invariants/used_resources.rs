//! Capacity and addresses are respected, and the fleet's accounts agree with those of the workers.

use std::collections::BTreeSet;

use muster_types::Resources;

use super::{InvariantViolation, violate};
use crate::Core;
use crate::state::Worker;

pub(super) fn check(core: &Core, found: &mut Vec<InvariantViolation>) {
    for worker in core.workers.iter().filter(|worker| !worker.record.forgotten) {
        check_worker(core, worker, found);
    }
}

fn check_worker(core: &Core, worker: &Worker, found: &mut Vec<InvariantViolation>) {
    let uid = worker.record.uid;
    let name = &worker.record.name;
    let mut sum = Resources::default();
    let mut certain = Resources::default();
    let mut addresses = BTreeSet::new();
    for (key, held) in worker.assigned.iter().chain(&worker.unassigned) {
        sum.add(&held.amounts());
        // After a restore, the record may describe an attempt that ended long ago and whose
        // resources were given to others.
        if core.driver_behind(*key).is_some_and(|driver| core.restore.holds(driver)) {
            continue;
        }
        certain.add(&held.amounts());
        for (resource, list) in &held.addresses {
            for address in list {
                if !addresses.insert((resource.clone(), address.clone())) {
                    violate(found, "an address is given once", format!("{name}: {resource} {address}"));
                }
            }
        }
    }
    if core.fleet.used(uid).unwrap_or_default() != sum {
        violate(found, "books agree", format!("{name}: {:?} against {sum:?}", core.fleet.used(uid)));
    }
    if !worker.record.total.amounts().holds(&certain) {
        violate(found, "capacity is respected", format!("{name}: {certain:?} of {:?}", worker.record.total));
    }
    if core.fleet.eligibility(uid) != Some(worker.eligibility()) {
        violate(found, "books agree", format!("{name}: eligibility {:?}", core.fleet.eligibility(uid)));
    }
}
