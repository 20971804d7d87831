//! The end of a job.

use crate::attempt::TaskAttempt;
use crate::scheduler::Scheduler;
use crate::{FailureCause, JobFailure, JobId, SchedulerEffect};

impl Scheduler {
    /// Ends a job whose target is complete.
    pub(crate) fn succeed_job(&mut self, job: JobId) {
        if self.jobs.get(job).is_some() {
            self.effect(SchedulerEffect::JobSucceeded(job));
            self.end_job(job);
        }
    }

    /// Ends a job that has failed, if it has not ended before.
    pub(crate) fn fail_job(&mut self, failure: JobFailure) {
        let job = failure.job;
        if self.jobs.get(job).is_some() {
            self.effect(SchedulerEffect::JobFailed(Box::new(failure)));
            self.end_job(job);
        }
    }

    /// Forgets a job. Stages that no other job needs are stopped.
    fn end_job(&mut self, job: JobId) {
        let Some(entry) = self.jobs.remove(job) else { return };
        for stage in entry.stages {
            self.drop_need(job, stage);
        }
    }

    /// Counts the bytes of a result. Returns false when they were too many, and the job has failed.
    pub(crate) fn add_result(&mut self, attempt: &TaskAttempt, bytes: u64) -> bool {
        let Some(node) = self.stages.get(attempt.stage) else { return false };
        let (stage, most) = (node.terms.id, self.config.max_result_bytes);
        let Some(job) = node.jobs.first().copied() else { return true };
        let Some(entry) = self.jobs.get_mut(job) else { return true };
        entry.result_bytes = entry.result_bytes.saturating_add(bytes);
        let bytes = entry.result_bytes;
        if bytes <= most {
            return true;
        }
        let cause = FailureCause::ResultsTooLarge { bytes, most };
        self.fail_job(JobFailure { job, stage: Some(stage), attempt: None, cause });
        false
    }
}
