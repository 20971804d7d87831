//! The end of an attempt, and what follows for its task.

use std::time::Duration;

use muster_types::ExecutorId;

use super::TaskAttempt;
use crate::ids::{AttemptSlot, LocationIndex, StageSlot};
use crate::scheduler::Scheduler;
use crate::stage::tasks::TaskState;
use crate::{
    FailureCause, OutputLocation, SchedulerEffect, StageKind, TaskAttemptId, TaskEnd, TaskFailure, TaskKillReason,
};

/// What an attempt has made.
#[derive(Debug, Clone, Copy)]
struct TaskSuccess {
    ran: Duration,
    kept_by: Option<OutputLocation>,
    result_bytes: u64,
}

impl Scheduler {
    /// An attempt has begun to run.
    pub(crate) fn attempt_started(&mut self, executor: ExecutorId, id: TaskAttemptId, ago: Duration) {
        if let Some(attempt) = self.attempts.get_mut(AttemptSlot::from(id))
            && attempt.executor_id == executor
        {
            attempt.started = Some(self.now - ago);
        }
    }

    /// Handles the end of an attempt. A second end, and one of an attempt of another executor,
    /// names nothing that is kept.
    pub(crate) fn end_attempt(&mut self, executor: ExecutorId, id: TaskAttemptId, end: TaskEnd) {
        let slot = AttemptSlot::from(id);
        let Some(known) = self.attempts.get(slot).filter(|attempt| attempt.executor_id == executor) else { return };
        let was_abandoned = known.is_abandoned;
        let Some(attempt) = self.remove_attempt(slot) else { return };
        if was_abandoned {
            return self.release_commit(&attempt);
        }
        match end {
            TaskEnd::Succeeded { ran, kept_by, result_bytes } => {
                self.succeed(&attempt, TaskSuccess { ran, kept_by, result_bytes });
            }
            TaskEnd::Failed { message, retry } => {
                self.fail_attempt(&attempt, FailureCause::Function { message, retry }, true);
            }
            TaskEnd::FetchFailed(failure) => self.fail_fetch(&attempt, failure),
            TaskEnd::Killed => self.fail_attempt(&attempt, FailureCause::Killed, false),
            TaskEnd::CommitDenied => self.fail_attempt(&attempt, FailureCause::CommitDenied, false),
            TaskEnd::ResultLost => self.fail_attempt(&attempt, FailureCause::ResultLost, true),
            TaskEnd::NotStarted => {
                self.forget_run_times(attempt.stage);
                self.fail_attempt(&attempt, FailureCause::NotStarted, false);
            }
        }
    }

    fn succeed(&mut self, attempt: &TaskAttempt, success: TaskSuccess) {
        let Some(node) = self.stages.get(attempt.stage) else { return };
        let location = match node.terms.kind {
            StageKind::Results => None,
            StageKind::Outputs => {
                let location = match success.kept_by {
                    Some(by) => self.outputs.index(by),
                    None => self.executors.get(attempt.executor).map_or_else(
                        || self.outputs.index(OutputLocation::Executor(attempt.executor_id)),
                        |on| on.location,
                    ),
                };
                if self.outputs.is_lost(location, attempt.output_epoch) {
                    return self.fail_attempt(attempt, FailureCause::OutputLost, false);
                }
                Some(location)
            }
        };
        self.abandon_others(attempt);
        self.finish_task(attempt, location, success);
    }

    /// Stops the other attempts of a task that has succeeded.
    fn abandon_others(&mut self, attempt: &TaskAttempt) {
        while let Some(node) = self.stages.get(attempt.stage)
            && let Some(record) = node.records.get(attempt.partition as usize)
            && let TaskState::Running(other) = record.state
        {
            self.abandon(other, TaskKillReason::AnotherSucceeded);
        }
    }

    fn finish_task(&mut self, attempt: &TaskAttempt, location: Option<LocationIndex>, success: TaskSuccess) {
        let Some(node) = self.stages.get_mut(attempt.stage) else { return };
        let task = node.task(attempt.partition);
        let Some(record) = node.records.get_mut(attempt.partition as usize) else { return };
        record.state = TaskState::Done(location);
        node.done += 1;
        node.committers.remove(&attempt.partition);
        node.learn_run_time(u64::try_from(success.ran.as_nanos()).unwrap_or(u64::MAX));
        let (kind, is_complete) = (node.terms.kind, node.is_complete());
        if let Some(location) = location {
            self.add_output(location, attempt.stage, attempt.partition);
        }
        self.effect(SchedulerEffect::TaskSucceeded { task, attempt: attempt.id });
        self.watch_for_slow_tasks(attempt.stage, success.ran);
        if kind == StageKind::Results && !self.add_result(attempt, success.result_bytes) {
            return;
        }
        if is_complete {
            self.complete_stage(attempt.stage);
        }
    }

    /// Settles an attempt that has failed and is no longer kept: its task waits again, unless
    /// another attempt of it runs, or its job has failed.
    pub(crate) fn fail_attempt(&mut self, attempt: &TaskAttempt, cause: FailureCause, counted: bool) {
        self.release_commit(attempt);
        let Some(node) = self.stages.get_mut(attempt.stage) else { return };
        let failure = TaskFailure {
            task: node.task(attempt.partition),
            stage_attempt: attempt.stage_attempt,
            number: attempt.number,
            executor: attempt.executor_id,
            cause,
            counted,
        };
        node.attempts.last_failure = Some(Box::new(failure.clone()));
        let is_barrier = node.terms.barrier;
        let Some(record) = node.records.get_mut(attempt.partition as usize) else { return };
        if counted {
            record.failures += 1;
        }
        let (failures, waits) = (record.failures.0, record.is_pending());
        let never = matches!(failure.cause, FailureCause::Function { retry: false, .. });
        self.effect(SchedulerEffect::TaskFailed(Box::new(failure.clone())));
        if waits {
            self.requeue(attempt.stage, attempt.partition);
        }
        if never || failures >= self.config.max_task_failures {
            return self.abort_stage(attempt.stage, Some(failure));
        }
        if counted {
            self.exclude_after_failure(attempt);
        }
        if is_barrier {
            self.fail_stage_attempt(attempt.stage, attempt.stage_attempt, failure);
        }
    }

    /// A task that was sent ahead has waited for too long: tasks of the stage run longer than they
    /// did, so none is sent ahead until that is known better.
    fn forget_run_times(&mut self, stage: StageSlot) {
        if let Some(node) = self.stages.get_mut(stage) {
            node.mean_run = 0;
        }
    }
}
