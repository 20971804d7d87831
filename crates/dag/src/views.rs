//! What can be asked of a scheduler.

use muster_types::ExecutorId;

use crate::scheduler::Scheduler;
use crate::stage::tasks::TaskState;
use crate::{OutputLocation, StageId, TaskAttemptId, TaskId};

/// How far a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageProgress {
    /// Tasks in all.
    pub tasks: u32,
    /// Tasks that have succeeded.
    pub done: u32,
    /// Attempts that run.
    pub running: u32,
    /// Tasks that wait.
    pub pending: u32,
}

impl Scheduler {
    /// How far a stage is; `None` if it is not known.
    pub fn progress(&self, stage: StageId) -> Option<StageProgress> {
        let node = self.stages.get(self.stages.find(stage)?)?;
        let running = u32::try_from(node.running.len()).unwrap_or(u32::MAX);
        Some(StageProgress { tasks: node.tasks(), done: node.done, running, pending: node.pending.count() })
    }

    /// Where the outputs of a stage are, by partition; nothing for one that is not there.
    pub fn outputs(&self, stage: StageId) -> impl Iterator<Item = Option<OutputLocation>> + '_ {
        let node = self.stages.find(stage).and_then(|slot| self.stages.get(slot));
        node.into_iter().flat_map(|node| &node.records).map(|record| match record.state {
            TaskState::Done(location) => location.and_then(|location| self.outputs.location(location)),
            TaskState::Pending | TaskState::Running(_) => None,
        })
    }

    /// Whether nothing would be missed if an executor ended now: it runs nothing, and keeps no
    /// output of a stage that is known.
    pub fn is_expendable(&self, executor: ExecutorId) -> bool {
        let runs = self.executors.find(executor).and_then(|slot| self.executors.get(slot));
        runs.is_none_or(|node| node.attempts.is_empty() && !self.outputs.keeps_any(node.location))
    }

    /// The output epoch of launches from now on.
    pub fn output_epoch(&self) -> u64 {
        self.output_epoch
    }

    /// The task of an attempt that counts if it succeeds; `None` for any other.
    pub fn task_of(&self, attempt: TaskAttemptId) -> Option<TaskId> {
        let attempt = self.attempts.get(attempt.into()).filter(|attempt| !attempt.is_abandoned)?;
        self.stages.get(attempt.stage).map(|node| node.task(attempt.partition))
    }
}
