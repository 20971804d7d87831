//! Launching an attempt.

use super::TaskAttempt;
use crate::ids::{AttemptSlot, ExecutorSlot, StageSlot};
use crate::scheduler::Scheduler;
use crate::stage::tasks::TaskState;
use crate::{Locality, SchedulerEffect, TaskLaunch};

/// A task that was taken from those that wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TakenTask {
    pub(crate) partition: u32,
    pub(crate) locality: Locality,
    pub(crate) speculative: bool,
}

impl Scheduler {
    /// Launches a task that was taken. The executor's index is brought up to date by the caller.
    pub(crate) fn launch(&mut self, stage: StageSlot, executor: ExecutorSlot, task: TakenTask) {
        let (Some(node), Some(on)) = (self.stages.get_mut(stage), self.executors.get_mut(executor)) else { return };
        let Some(record) = node.records.get_mut(task.partition as usize) else { return };
        let before = if let TaskState::Running(before) = record.state { Some(before) } else { None };
        let (number, stage_attempt) = (record.launches.0, node.attempts.number.unwrap_or(0));
        let cores = node.terms.shape.cores;
        let slot = self.attempts.insert_with_key(|slot| TaskAttempt {
            id: slot.into(),
            stage,
            partition: task.partition,
            executor,
            executor_id: on.id,
            worker: on.worker,
            cores,
            stage_attempt,
            number,
            sequence: self.launches,
            output_epoch: self.output_epoch,
            started: None,
            began: self.now,
            is_abandoned: false,
            before,
            at_executor: place_of(&on.attempts),
            at_stage: place_of(&node.running),
        });
        self.launches += 1;
        record.launches += 1;
        record.state = TaskState::Running(slot);
        node.running.push(slot);
        on.attempts.push(slot);
        on.used += u64::from(cores);
        if let Some(copies) = &mut node.speculation {
            copies.add(self.now, slot);
        }
        let (level, profile) = (node.place.level, on.profile);
        let launch = TaskLaunch {
            executor: on.id,
            attempt: slot.into(),
            task: node.task(task.partition),
            stage_attempt,
            number,
            output_epoch: self.output_epoch,
            locality: task.locality,
            speculative: task.speculative,
        };
        self.effects.push(SchedulerEffect::Launch(launch));
        self.count_running(stage, 1);
        if !self.delayed.is_empty() {
            self.note_refusal(stage, level, profile);
        }
    }
}

fn place_of(list: &[AttemptSlot]) -> u32 {
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}
