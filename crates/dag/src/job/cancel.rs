//! Jobs that somebody ends.

use crate::scheduler::Scheduler;
use crate::{FailureCause, JobFailure, JobId, JobSelection};

impl Scheduler {
    /// Ends the jobs that are meant.
    pub(crate) fn cancel(&mut self, selection: JobSelection, reason: &str) {
        let mut stage = None;
        let jobs: Vec<JobId> = match selection {
            JobSelection::Job(job) => vec![job],
            JobSelection::Group { group, future } => {
                let jobs = self.jobs.of_group(&group);
                if future {
                    self.jobs.refuse_group(group, self.config.limits.cancelled_groups);
                }
                jobs
            }
            JobSelection::Tag(tag) => self.jobs.of_tag(&tag),
            JobSelection::Stage(id) => {
                stage = Some(id);
                let node = self.stages.find(id).and_then(|slot| self.stages.get(slot));
                node.map(|node| node.jobs.iter().copied().collect()).unwrap_or_default()
            }
            JobSelection::All => self.jobs.ids().collect(),
        };
        for job in jobs {
            let cause = FailureCause::Cancelled(reason.to_owned());
            self.fail_job(JobFailure { job, stage, attempt: None, cause });
        }
    }
}
