//! The lists of attempts agree: of tasks, of stages, of executors and of pools.

use std::collections::{BTreeMap, BTreeSet};

use super::{SchedulerViolation, violate};
use crate::Scheduler;
use crate::ids::AttemptSlot;
use crate::stage::tasks::TaskState;

pub(super) fn check(scheduler: &Scheduler, found: &mut Vec<SchedulerViolation>) {
    let mut running: BTreeMap<u32, u64> = BTreeMap::new();
    let mut listed: BTreeSet<AttemptSlot> = BTreeSet::new();
    for (slot, node) in scheduler.stages.iter() {
        *running.entry(node.place.pool.0).or_default() += node.running.len() as u64;
        for (at, attempt) in node.running.iter().enumerate() {
            listed.insert(*attempt);
            let known = scheduler.attempts.get(*attempt);
            if !known.is_some_and(|it| it.stage == slot && it.at_stage as usize == at && !it.is_abandoned) {
                violate(found, "lists of attempts agree", format!("stage {}, {attempt:?}", node.terms.id));
            }
        }
        let mut chained = BTreeSet::new();
        for record in &node.records {
            let mut next = if let TaskState::Running(newest) = record.state { Some(newest) } else { None };
            while let Some(attempt) = next {
                if !chained.insert(attempt) {
                    violate(found, "an attempt is of one task", format!("{attempt:?}"));
                    break;
                }
                next = scheduler.attempts.get(attempt).and_then(|attempt| attempt.before);
            }
        }
        if chained != node.running.iter().copied().collect() {
            violate(found, "lists of attempts agree", format!("stage {} and its tasks", node.terms.id));
        }
    }
    for (slot, attempt) in &scheduler.attempts {
        let on = scheduler.executors.get(attempt.executor);
        if on.and_then(|on| on.attempts.get(attempt.at_executor as usize)) != Some(&slot) {
            violate(found, "lists of attempts agree", format!("executor {}", attempt.executor_id));
        }
        if attempt.is_abandoned == listed.contains(&slot) {
            violate(found, "an attempt is wanted or abandoned", format!("{slot:?}"));
        }
    }
    let pools = (0u32..).zip(scheduler.pools.iter());
    for (index, pool) in pools {
        let counted = running.get(&index).copied().unwrap_or(0);
        if counted != pool.running {
            violate(found, "pools count what runs", format!("{}: {}, not {counted}", pool.spec.name, pool.running));
        }
    }
}
