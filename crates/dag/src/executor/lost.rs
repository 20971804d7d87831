//! Executors that are gone.

use muster_types::{ExecutorId, WorkerUid};

use super::ExecutorNode;
use crate::attempt::TaskAttempt;
use crate::ids::AttemptSlot;
use crate::locality::LocalityKey;
use crate::scheduler::Scheduler;
use crate::{ExecutorLoss, FailureCause, OutputLocation, SchedulerEffect};

impl Scheduler {
    /// Removes an executor: its outputs are lost, and its attempts have failed. What comes of it
    /// later names attempts that are no longer kept.
    pub(crate) fn lose_executor(&mut self, id: ExecutorId, loss: ExecutorLoss) {
        let Some((_, node)) = self.executors.remove(id) else { return };
        let loss = match (node.is_kill_requested, node.is_decommissioned) {
            (true, _) => ExecutorLoss::Killed,
            (false, true) => ExecutorLoss::Decommissioned,
            (false, false) => loss,
        };
        let attempts = self.take_attempts_of(&node);
        let location = OutputLocation::Executor(id);
        self.lose_outputs_at(location);
        let index = self.outputs.index(location);
        self.outputs.close(index);
        for (attempt, started) in attempts {
            let counted = started && loss.counts();
            self.fail_attempt(&attempt, FailureCause::ExecutorLost(loss), counted);
        }
        self.effect(SchedulerEffect::ExecutorRemoved(id, loss));
        self.leave_levels_without(node.keys());
    }

    /// Removes all executors of a worker, and what its agent kept for them.
    pub(crate) fn lose_worker(&mut self, uid: WorkerUid) {
        self.lose_outputs_at(OutputLocation::Worker(uid));
        for id in self.executors.on_worker(uid) {
            self.lose_executor(id, ExecutorLoss::WorkerLost);
        }
    }

    /// Takes the attempts of an executor that is gone, in the order of their launches, and whether
    /// each had started. An executor runs its tasks in that order, so those that it had cores for
    /// had started even if it did not live to say so: else a task that ends its executor at once
    /// would never count.
    fn take_attempts_of(&mut self, node: &ExecutorNode) -> Vec<(TaskAttempt, bool)> {
        let sequence = |slot: &AttemptSlot| self.attempts.get(*slot).map(|attempt| attempt.sequence);
        let mut slots = node.attempts.clone();
        slots.sort_by_key(sequence);
        let mut cores_left = u64::from(node.cores);
        let mut taken = Vec::new();
        for slot in slots {
            self.detach(slot);
            let Some(attempt) = self.attempts.remove(slot) else { continue };
            self.release_commit(&attempt);
            let had_core = cores_left >= u64::from(attempt.cores);
            cores_left = cores_left.saturating_sub(u64::from(attempt.cores));
            if !attempt.is_abandoned {
                let started = had_core || attempt.started.is_some();
                taken.push((attempt, started));
            }
        }
        taken
    }

    /// Stages that wait for an executor, worker or rack that is not there any more go on to the
    /// next level.
    fn leave_levels_without(&mut self, keys: impl Iterator<Item = LocalityKey>) {
        for key in keys {
            if !self.executors.is_served(key) {
                for stage in self.pools.preferring(key) {
                    self.leave_unserved_levels(stage);
                }
            }
        }
    }
}
