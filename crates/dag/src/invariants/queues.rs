//! A stage is listed when it has something to launch, and nothing that could run waits.

use super::{SchedulerViolation, violate};
use crate::ids::StageSlot;
use crate::stage::StageNode;
use crate::{Locality, Scheduler};

pub(super) fn check(scheduler: &Scheduler, found: &mut Vec<SchedulerViolation>) {
    for (slot, node) in scheduler.stages.iter() {
        let id = node.terms.id;
        if node.has_work() != node.place.is_listed {
            violate(found, "what can be launched is listed", format!("stage {id}"));
        }
        let delayed = node.place.is_listed && !node.terms.barrier && node.place.level != Locality::Any;
        if delayed != scheduler.delayed.contains(&slot) || (delayed && !node.place.is_timed) {
            violate(found, "what waits at a level is timed", format!("stage {id}"));
        }
        // Exclusion and barriers have rules of their own, which the tests know.
        if node.place.is_listed && !node.terms.barrier && node.exclusion.is_none() {
            check_waits(scheduler, slot, node, found);
        }
    }
    for pool in scheduler.pools.iter() {
        for stage in pool.queues.values().flat_map(|queue| queue.stages()) {
            if !scheduler.stages.get(stage).is_some_and(|node| node.place.is_listed) {
                violate(found, "what can be launched is listed", format!("{stage:?} is not, and is in a queue"));
            }
        }
    }
}

fn check_waits(scheduler: &Scheduler, slot: StageSlot, node: &StageNode, found: &mut Vec<SchedulerViolation>) {
    let shape = node.terms.shape;
    let copies_alone = node.pending.count() == 0;
    for (_, on) in scheduler.executors.iter() {
        let fits = on.profile == shape.profile && on.free() >= shape.cores && scheduler.executors.is_active(on);
        if !fits || copies_alone {
            continue;
        }
        let records = (0u32..).zip(&node.records).filter(|(_, record)| record.is_pending());
        let may = |partition: u32| {
            let preferred = node.pending.preferred(partition);
            preferred.is_empty()
                || node.place.level == Locality::Any
                || on.keys().any(|key| key.level() <= node.place.level && preferred.contains(&key))
        };
        let mut waiting = records.map(|(partition, _)| partition).filter(|partition| may(*partition));
        if let Some(partition) = waiting.next() {
            let what = format!("{} ({slot:?}) while executor {} is free", node.task(partition), on.id);
            violate(found, "nothing that could run waits", what);
        }
    }
}
