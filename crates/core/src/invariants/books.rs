//! Capacity and addresses are respected, and placement's books are those of the workers.

use std::collections::BTreeSet;

use muster_types::Resources;

use super::{Violation, violate};
use crate::Core;
use crate::state::Worker;

pub(super) fn check(core: &Core, found: &mut Vec<Violation>) {
    for worker in core.workers.iter().filter(|worker| !worker.record.forgotten) {
        check_worker(core, worker, found);
    }
}

fn check_worker(core: &Core, worker: &Worker, found: &mut Vec<Violation>) {
    let uid = worker.record.uid;
    let name = &worker.record.name;
    let mut sum = Resources::default();
    let mut addresses = BTreeSet::new();
    for held in worker.assigned.values().chain(worker.strays.values()) {
        sum.add(&held.amounts());
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
    if !worker.record.total.amounts().holds(&sum) {
        violate(found, "capacity is respected", format!("{name}: {sum:?} of {:?}", worker.record.total));
    }
    if core.fleet.eligibility(uid) != Some(worker.eligibility()) {
        violate(found, "books agree", format!("{name}: eligibility {:?}", core.fleet.eligibility(uid)));
    }
}
