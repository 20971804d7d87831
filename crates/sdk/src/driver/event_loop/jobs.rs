//! The jobs of the loop: they come, have results, and end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_dag::{
    JobFailure, JobId, JobRejection, JobSpec, SchedulerInput, StageId, StageKind, StageSpec, TaskFailure, TaskId,
};
use tokio::sync::OwnedSemaphorePermit;

use super::DriverLoop;
use crate::TaskEvent;
use crate::driver::failure::failed_job;
use crate::driver::stage_record::{StageRecord, StageResults};
use crate::driver::{JobReceiver, NewJob, NewStage};
use crate::job::{JobError, JobOutcome};

/// Between two events about how far a job is.
const PROGRESS: Duration = Duration::from_millis(100);

/// A job that runs.
pub(super) struct JobRecord {
    name: Arc<str>,
    failed: u32,
    /// The stages that it has added; the last one is what it is for.
    stages: Vec<StageId>,
    receiver: JobReceiver,
    _permit: Option<OwnedSemaphorePermit>,
}

impl DriverLoop {
    pub(super) fn submit(&mut self, job: NewJob) {
        let NewJob { id, name, stages, options, receiver, permit } = job;
        if let Some(reason) = &self.ended {
            return receiver.end(id, Err(JobError::Ended(reason.clone())));
        }
        let name = options.name.unwrap_or(name);
        // What is handed on at once is kept nowhere.
        let sink = match &receiver {
            JobReceiver::Outcome(_) => None,
            JobReceiver::Sink(sink) => Some(sink.clone()),
        };
        let (mut added, mut specs, mut handles, mut tasks) = (Vec::new(), Vec::new(), Vec::new(), 0u32);
        for stage in stages {
            if let Some(known) = self.stages.get_mut(&stage.id) {
                known.job = id;
                continue;
            }
            let NewStage { id: stage, code, arguments, tasks: count, parents, kind, handle } = stage;
            handles.extend(handle);
            added.push(stage);
            tasks = tasks.saturating_add(count);
            specs.push(StageSpec { parents: parents.clone(), kind, ..StageSpec::results(stage, count) });
            let sink = sink.clone().filter(|_| kind == StageKind::Results);
            let results = match kind {
                StageKind::Results if sink.is_none() => StageResults::new(count as usize),
                StageKind::Results | StageKind::Outputs => StageResults::default(),
            };
            let parents = parents.into();
            self.stages.insert(stage, StageRecord { job: id, code, arguments, parents, results, sink });
        }
        self.jobs.insert(id, JobRecord { name: name.clone(), failed: 0, stages: added, receiver, _permit: permit });
        self.event(TaskEvent::JobStarted { job: id.0, name, tasks });
        let spec = JobSpec {
            job: id,
            stages: specs,
            target: target_of(id),
            pool: options.pool,
            group: options.group,
            tags: options.tags,
        };
        self.give(SchedulerInput::SubmitJob(Box::new(spec)));
    }

    pub(super) fn end_all(&mut self, reason: &Arc<str>) {
        self.ended.get_or_insert_with(|| reason.clone());
        let jobs: Vec<JobId> = self.jobs.keys().copied().collect();
        for job in jobs {
            self.end_job(job, Err(JobError::Ended(reason.clone())));
        }
    }

    pub(super) fn keep_result(&mut self, task: TaskId) {
        let Some(stage) = self.stages.get_mut(&task.stage) else { return };
        match &stage.sink {
            Some(sink) => sink.task_succeeded(stage.job.0, task.partition, self.succeeding.result.clone()),
            None => stage.results.set(task.partition, &self.succeeding.result),
        }
        let target = target_of(stage.job);
        if !self.succeeding.counts.is_empty()
            && let Some(target) = self.stages.get_mut(&target)
        {
            target.results.add_counts(std::mem::take(&mut self.succeeding.counts));
        }
    }

    pub(super) fn note_failure(&mut self, failure: &TaskFailure) {
        let Some(stage) = self.stages.get(&failure.task.stage) else { return };
        let job = stage.job;
        if failure.counted
            && let Some(record) = self.jobs.get_mut(&job)
        {
            record.failed += 1;
            self.event(TaskEvent::AttemptFailed {
                job: job.0,
                partition: failure.task.partition,
                executor: failure.executor.0,
                cause: failure.cause.to_string(),
            });
        }
    }

    pub(super) fn succeed_job(&mut self, job: JobId) {
        let results = self.stages.get_mut(&target_of(job)).map(|stage| std::mem::take(&mut stage.results));
        self.end_job(job, Ok(results.unwrap_or_default()));
    }

    pub(super) fn reject_job(&mut self, job: JobId, rejection: JobRejection) {
        // The scheduler knows none of them.
        let added = self.jobs.get(&job).map(|record| record.stages.clone()).unwrap_or_default();
        added.into_iter().for_each(|stage| drop(self.stages.remove(&stage)));
        self.end_job(job, Err(JobError::Rejected(rejection)));
    }

    pub(super) fn fail_job(&mut self, failure: JobFailure) {
        let Some(name) = self.jobs.get(&failure.job).map(|record| record.name.clone()) else { return };
        let job = failure.job;
        let mut failed = failed_job(failure, name);
        let Some((cluster, attempt)) = self.cluster.as_ref().zip(failed.attempt.as_mut()) else {
            return self.end_job(job, Err(JobError::Failed(Box::new(failed))));
        };
        let words = cluster.last_words(attempt.executor);
        let Some(record) = self.forget_job(job, Some(failed.to_string())) else { return };
        tokio::spawn(async move {
            if let Some(attempt) = failed.attempt.as_mut() {
                attempt.last_words = words.await;
            }
            record.receiver.end(job, Err(JobError::Failed(Box::new(failed))));
        });
    }

    pub(super) fn end_job(&mut self, job: JobId, outcome: JobOutcome) {
        let error = outcome.as_ref().err().map(ToString::to_string);
        if let Some(record) = self.forget_job(job, error) {
            record.receiver.end(job, outcome);
        }
    }

    pub(super) fn forget_job(&mut self, job: JobId, error: Option<String>) -> Option<JobRecord> {
        self.forget_stage(target_of(job));
        let record = self.jobs.remove(&job)?;
        self.event(TaskEvent::JobEnded { job: job.0, error });
        Some(record)
    }

    /// Forgets a stage, here and on all executors.
    pub(super) fn forget_stage(&mut self, stage: StageId) {
        self.stages.remove(&stage);
        for link in self.links.values_mut() {
            let was_told = link.output_epochs.remove(&stage).is_some();
            if link.stages.remove(&stage) || was_told {
                link.work.stage_drops.push(stage.0);
            }
        }
    }

    pub(super) fn send_progress(&mut self) {
        if self.events.receiver_count() == 0 || self.progress_sent.elapsed() < PROGRESS {
            return;
        }
        self.progress_sent = Instant::now();
        for (job, record) in &self.jobs {
            let stages = record.stages.iter().filter_map(|stage| self.scheduler.progress(*stage));
            let (mut done, mut running) = (0, 0);
            for stage in stages {
                done += stage.done;
                running += stage.running;
            }
            // An error means that nobody watches.
            let _ = self.events.send(TaskEvent::JobProgressed { job: job.0, done, running, failed: record.failed });
        }
    }
}

/// The stage that a job is for has its number.
fn target_of(job: JobId) -> StageId {
    StageId(job.0)
}
