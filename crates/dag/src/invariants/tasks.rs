//! No task is lost: each waits in a list of its stage, runs by an attempt, or is done with its
//! output where it can be read. An output of a lost executor is nobody's.

use super::{SchedulerViolation, violate};
use crate::stage::StageNode;
use crate::stage::tasks::TaskState;
use crate::{OutputLocation, Scheduler, StageKind};

pub(super) fn check(scheduler: &Scheduler, found: &mut Vec<SchedulerViolation>) {
    for (slot, node) in scheduler.stages.iter() {
        let (mut pending, mut done) = (0, 0);
        for (partition, record) in (0u32..).zip(&node.records) {
            let task = node.task(partition);
            match record.state {
                TaskState::Pending => {
                    pending += 1;
                    if !node.pending.is_listed(partition) {
                        violate(found, "no task is lost", format!("{task} waits in no list"));
                    }
                }
                TaskState::Running(newest) => {
                    let attempt = scheduler.attempts.get(newest);
                    if attempt.is_none_or(|attempt| (attempt.stage, attempt.partition) != (slot, partition)) {
                        violate(found, "no task is lost", format!("{task} runs by no attempt of its own"));
                    }
                }
                TaskState::Done(location) => {
                    done += 1;
                    let location = location.and_then(|location| scheduler.outputs.location(location));
                    check_output(scheduler, node, partition, location, found);
                }
            }
        }
        if (pending, done) != (node.pending.count(), node.done) {
            let counted = format!("{} waiting, {} done", node.pending.count(), node.done);
            violate(found, "tasks are counted", format!("{}: {counted}, not {pending}, {done}", node.terms.id));
        }
    }
}

fn check_output(
    scheduler: &Scheduler,
    node: &StageNode,
    partition: u32,
    location: Option<OutputLocation>,
    found: &mut Vec<SchedulerViolation>,
) {
    let task = node.task(partition);
    if location.is_some() != (node.terms.kind == StageKind::Outputs) {
        violate(found, "an output has a keeper", task.to_string());
    }
    if let Some(OutputLocation::Executor(executor)) = location
        && scheduler.executors.find(executor).is_none()
    {
        violate(found, "outputs of a lost executor are lost", format!("{task} at executor {executor}"));
    }
}
