//! Failures of stages: of a fetch, of a barrier, and of a task too often.

use crate::attempt::TaskAttempt;
use crate::ids::StageSlot;
use crate::scheduler::Scheduler;
use crate::{FailureCause, FetchFailure, JobFailure, SchedulerEffect, TaskFailure, TaskKillReason};

impl Scheduler {
    /// An attempt could not read an output: the output is lost, and the attempt of the stage has
    /// failed, once. Its other attempts of tasks go on, as many of them have read all they need.
    pub(crate) fn fail_fetch(&mut self, attempt: &TaskAttempt, fetch: FetchFailure) {
        let location = self.outputs.index(fetch.location);
        let in_good_order = self.outputs.is_decommissioned(location);
        // What was lost there since the attempt was launched is known, and may be there again.
        if !self.outputs.is_lost(location, attempt.output_epoch) {
            if fetch.unreachable {
                self.lose_outputs_at(fetch.location);
            } else {
                self.lose_output(fetch.output, location);
            }
        }
        let cause = FailureCause::Fetch { output: fetch.output, location: fetch.location, message: fetch.message };
        self.fail_attempt(attempt, cause, false);
        let Some(node) = self.stages.get(attempt.stage).filter(|node| !node.jobs.is_empty()) else { return };
        let (is_older, is_barrier) = (node.is_older(attempt.stage_attempt), node.terms.barrier);
        if is_older || is_barrier {
            return;
        }
        let failure = self.stages.get(attempt.stage).and_then(|node| node.attempts.last_failure.clone());
        if in_good_order {
            self.resubmit_later(attempt.stage);
        } else if let Some(failure) = failure {
            self.count_stage_failure(attempt.stage, attempt.stage_attempt, *failure);
        }
    }

    /// A task of a barrier stage has failed: the others wait for it in vain, so all begin again.
    pub(crate) fn fail_stage_attempt(&mut self, slot: StageSlot, stage_attempt: u32, failure: TaskFailure) {
        // The job may have failed by another attempt of the same executor.
        let needed = self.stages.get(slot).filter(|node| !node.jobs.is_empty());
        let Some(is_older) = needed.map(|node| node.is_older(stage_attempt)) else { return };
        self.restart_running(slot, TaskKillReason::StageRestarted);
        self.take_back_done(slot);
        if !is_older {
            self.count_stage_failure(slot, stage_attempt, failure);
        }
    }

    fn count_stage_failure(&mut self, slot: StageSlot, stage_attempt: u32, failure: TaskFailure) {
        let Some(node) = self.stages.get_mut(slot) else { return };
        node.attempts.failed = Some(stage_attempt);
        node.attempts.failed_in_a_row = node.attempts.failed_in_a_row.saturating_add(1);
        let failed = node.attempts.failed_in_a_row;
        let stage = node.terms.id;
        self.effect(SchedulerEffect::StageFailed { stage, attempt: stage_attempt });
        if failed >= self.config.max_stage_failures {
            return self.abort_stage(slot, Some(failure));
        }
        self.resubmit_later(slot);
    }

    /// Ends every job that needs a stage, by the last failure of one of its tasks.
    pub(crate) fn abort_stage(&mut self, slot: StageSlot, failure: Option<TaskFailure>) {
        let cause = failure.as_ref().map_or(FailureCause::Unschedulable, |failure| failure.cause.clone());
        self.abort_stage_for(slot, failure, &cause);
    }

    /// The same, for another cause than that failure.
    pub(crate) fn abort_stage_for(&mut self, slot: StageSlot, failure: Option<TaskFailure>, cause: &FailureCause) {
        let Some(node) = self.stages.get(slot) else { return };
        let stage = node.terms.id;
        for job in node.jobs.clone() {
            let failed = JobFailure { job, stage: Some(stage), attempt: failure.clone(), cause: cause.clone() };
            self.fail_job(failed);
        }
    }
}
