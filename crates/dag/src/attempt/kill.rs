//! Attempts that are no longer wanted.

use super::TaskAttempt;
use crate::ids::AttemptSlot;
use crate::scheduler::Scheduler;
use crate::stage::tasks::TaskState;
use crate::timers::SchedulerTimer;
use crate::{ReplaceReason, SchedulerEffect, TaskKillReason};

impl Scheduler {
    /// Stops an attempt. Its task is running by its other attempts, or else waits: the caller
    /// decides what follows.
    pub(crate) fn abandon(&mut self, slot: AttemptSlot, reason: TaskKillReason) {
        self.detach(slot);
        let Some(attempt) = self.attempts.get_mut(slot) else { return };
        attempt.is_abandoned = true;
        let executor = attempt.executor_id;
        if let Some(timeout) = self.config.kill_timeout {
            self.timers.arm(self.now + timeout, SchedulerTimer::Kill(slot));
        }
        self.effect(SchedulerEffect::Kill { executor, attempt: slot.into(), reason });
    }

    /// Takes an attempt away from its stage and its task, unless that was done before. A task of
    /// which no attempt is left is in the state `Pending`, and in no list.
    pub(crate) fn detach(&mut self, slot: AttemptSlot) {
        let Some(attempt) = self.attempts.get(slot).filter(|attempt| !attempt.is_abandoned) else { return };
        let (stage, at, before, partition) = (attempt.stage, attempt.at_stage, attempt.before, attempt.partition);
        let Some(node) = self.stages.get_mut(stage) else { return };
        node.running.swap_remove(at as usize);
        if let Some(moved) = node.running.get(at as usize).and_then(|moved| self.attempts.get_mut(*moved)) {
            moved.at_stage = at;
        }
        if let Some(copies) = &mut node.speculation
            && let Some(attempt) = self.attempts.get(slot)
        {
            copies.remove(attempt.began, slot);
        }
        if let Some(record) = node.records.get_mut(partition as usize)
            && let TaskState::Running(newest) = record.state
        {
            if newest == slot {
                record.state = before.map_or(TaskState::Pending, TaskState::Running);
            } else {
                self.unlink(newest, slot, before);
            }
        }
        self.count_running(stage, -1);
    }

    /// Takes an attempt out of the chain of its task's attempts.
    fn unlink(&mut self, newest: AttemptSlot, slot: AttemptSlot, before: Option<AttemptSlot>) {
        let mut at = Some(newest);
        while let Some(attempt) = at.and_then(|at| self.attempts.get_mut(at)) {
            if attempt.before == Some(slot) {
                attempt.before = before;
                return;
            }
            at = attempt.before;
        }
    }

    /// Removes an attempt that has ended, and gives its cores back.
    pub(crate) fn remove_attempt(&mut self, slot: AttemptSlot) -> Option<TaskAttempt> {
        self.detach(slot);
        let attempt = self.attempts.remove(slot)?;
        let node = self.executors.get_mut(attempt.executor)?;
        node.used = node.used.saturating_sub(u64::from(attempt.cores));
        let at = attempt.at_executor as usize;
        node.attempts.swap_remove(at);
        if let Some(moved) = node.attempts.get(at).and_then(|moved| self.attempts.get_mut(*moved)) {
            moved.at_executor = attempt.at_executor;
        }
        self.unsettled.executors.push(attempt.executor);
        Some(attempt)
    }

    /// A killed attempt goes on for too long: only the end of its executor ends it.
    pub(crate) fn end_kill_timeout(&mut self, slot: AttemptSlot) {
        let Some(attempt) = self.attempts.get(slot) else { return };
        let (id, executor) = (attempt.executor_id, attempt.executor);
        let Some(node) = self.executors.get_mut(executor).filter(|node| !node.is_kill_requested) else { return };
        node.is_kill_requested = true;
        self.executors.reindex(executor);
        self.effect(SchedulerEffect::ReplaceExecutor(id, ReplaceReason::TaskNotKilled));
    }
}
