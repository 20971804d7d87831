//! Which attempt of a task may commit what it wrote outside.

use muster_types::ExecutorId;

use super::TaskAttempt;
use crate::ids::AttemptSlot;
use crate::scheduler::Scheduler;
use crate::{SchedulerEffect, TaskAttemptId};

impl Scheduler {
    /// Answers whether an attempt may commit: the first of its task that asks may, and asking again
    /// changes nothing. Another one may only when that one has failed.
    pub(crate) fn ask_commit(&mut self, executor: ExecutorId, id: TaskAttemptId) {
        let slot = AttemptSlot::from(id);
        let own = self.attempts.get(slot).filter(|attempt| attempt.executor_id == executor && !attempt.is_abandoned);
        let stage = own.and_then(|attempt| Some((attempt.partition, self.stages.get_mut(attempt.stage)?)));
        let allowed = stage.is_some_and(|(partition, node)| *node.committers.entry(partition).or_insert(id) == id);
        self.effect(SchedulerEffect::CommitAnswer { executor, attempt: id, allowed });
    }

    /// An attempt that is over commits nothing any more. One that is killed may until it has ended.
    pub(crate) fn release_commit(&mut self, attempt: &TaskAttempt) {
        if let Some(node) = self.stages.get_mut(attempt.stage)
            && node.committers.get(&attempt.partition) == Some(&attempt.id)
        {
            node.committers.remove(&attempt.partition);
        }
    }
}
