//! What an observer of the whole world checks, knowing nothing of how the scheduler works.

use std::collections::{BTreeMap, BTreeSet};

use muster_dag::{FailureCause, JobFailure, JobId, StageId, StageKind, StageSpec, TaskAttemptId, TaskId, TaskLaunch};
use muster_types::ExecutorId;

/// What the scheduler was told of an executor.
#[derive(Debug, Clone)]
pub(crate) struct KnownExecutor {
    pub(crate) profile: u32,
    pub(crate) cores: u32,
    pub(crate) takes_tasks: bool,
    pub(crate) used: u64,
}

/// An attempt that was launched and that the scheduler does not know to be over.
#[derive(Debug, Clone)]
pub(crate) struct OpenAttempt {
    pub(crate) executor: ExecutorId,
    pub(crate) task: TaskId,
    pub(crate) cores: u32,
}

/// The books of the observer.
#[derive(Debug, Default)]
pub(crate) struct Observer {
    pub(crate) broken: Vec<(&'static str, String)>,
    pub(crate) stages: BTreeMap<StageId, StageSpec>,
    pub(crate) jobs: BTreeMap<JobId, StageId>,
    pub(crate) cancelled: BTreeSet<JobId>,
    pub(crate) ended: BTreeSet<JobId>,
    pub(crate) known: BTreeMap<ExecutorId, KnownExecutor>,
    pub(crate) open: BTreeMap<TaskAttemptId, OpenAttempt>,
    launched: BTreeSet<TaskAttemptId>,
    /// Attempts that have really succeeded.
    pub(crate) finished: BTreeSet<TaskAttemptId>,
    results: BTreeMap<TaskId, TaskAttemptId>,
    /// The attempt that may commit, by task.
    committer: BTreeMap<TaskId, TaskAttemptId>,
    /// Failures that may count, by task; and those that do in any case.
    pub(crate) may_count: BTreeMap<TaskId, u32>,
    pub(crate) does_count: BTreeMap<TaskId, u32>,
    pub(crate) fatal: BTreeSet<TaskId>,
    /// Fetches of a stage that failed, and tasks of a barrier stage.
    pub(crate) stage_failures: BTreeMap<StageId, u32>,
    most: u64,
}

impl Observer {
    /// An observer of a world where so many tasks may be sent ahead of each core.
    pub(crate) fn new(most: u64) -> Observer {
        Observer { most, ..Observer::default() }
    }

    pub(crate) fn violate(&mut self, rule: &'static str, what: impl Into<String>) {
        self.broken.push((rule, what.into()));
    }

    pub(crate) fn launched(&mut self, launch: &TaskLaunch) {
        let Some(stage) = self.stages.get(&launch.task.stage) else {
            return self.violate("a launch is of a known stage", format!("{launch:?}"));
        };
        let (profile, cores) = (stage.profile.0, stage.cores);
        if !self.launched.insert(launch.attempt) {
            self.violate("an attempt is launched once", format!("{launch:?}"));
        }
        let most = self.most;
        match self.known.get_mut(&launch.executor) {
            Some(on) if on.takes_tasks && on.profile == profile => {
                on.used += u64::from(cores);
                let (used, limit) = (on.used, u64::from(on.cores) * (1 + most));
                if used > limit {
                    self.violate("no launch on a full executor", format!("{launch:?}: {used} of {limit}"));
                }
            }
            Some(_) | None => self.violate("no launch where it cannot run", format!("{launch:?}")),
        }
        if self.results.contains_key(&launch.task) {
            self.violate("a task with a result is not run again", format!("{launch:?}"));
        }
        let open = OpenAttempt { executor: launch.executor, task: launch.task, cores };
        self.open.insert(launch.attempt, open);
    }

    /// A copy runs elsewhere than what it is a copy of. `is_wanted` tells what runs from what is
    /// being stopped.
    pub(crate) fn check_copy(&mut self, launch: &TaskLaunch, is_wanted: impl Fn(TaskAttemptId) -> bool) {
        let same = |open: &OpenAttempt| open.task == launch.task && open.executor == launch.executor;
        let beside = self.open.iter().any(|(attempt, open)| same(open) && is_wanted(*attempt));
        if launch.speculative && beside {
            self.violate("a copy runs elsewhere", format!("{launch:?}"));
        }
    }

    /// The scheduler has heard the end of an attempt, or of its executor.
    pub(crate) fn over(&mut self, attempt: TaskAttemptId) {
        let Some(open) = self.open.remove(&attempt) else { return };
        if let Some(on) = self.known.get_mut(&open.executor) {
            on.used -= u64::from(open.cores);
        }
        if self.committer.get(&open.task) == Some(&attempt) {
            self.committer.remove(&open.task);
        }
    }

    pub(crate) fn may_commit(&mut self, attempt: TaskAttemptId) {
        let Some(task) = self.open.get(&attempt).map(|open| open.task) else {
            return self.violate("only a live attempt may commit", format!("{attempt:?}"));
        };
        if self.results.contains_key(&task) {
            self.violate("nothing is committed twice", format!("{task} has a result already"));
        }
        match self.committer.insert(task, attempt) {
            Some(other) if other != attempt => {
                self.violate("nothing is committed twice", format!("{task} by {other:?} and {attempt:?}"));
            }
            Some(_) | None => {}
        }
    }

    pub(crate) fn succeeded(&mut self, task: TaskId, attempt: TaskAttemptId) {
        if !self.finished.contains(&attempt) {
            self.violate("what succeeded has run", format!("{task} by {attempt:?}"));
        }
        let is_result = self.stages.get(&task.stage).is_some_and(|stage| stage.kind == StageKind::Results);
        if is_result && self.results.insert(task, attempt).is_some() {
            self.violate("a result counts once", task.to_string());
        }
    }

    pub(crate) fn taken_back(&mut self, stage: StageId) {
        if !self.stages.get(&stage).is_some_and(|stage| stage.barrier) {
            self.violate("a result counts once", format!("stage {stage} is taken back"));
        }
        self.results.retain(|task, _| task.stage != stage);
    }

    pub(crate) fn job_succeeded(&mut self, job: JobId) {
        self.end(job);
        if self.cancelled.contains(&job) {
            self.violate("a cancelled job does not succeed", job.to_string());
        }
        let Some(stage) = self.jobs.get(&job).and_then(|target| self.stages.get(target)).cloned() else { return };
        if stage.kind == StageKind::Results {
            let has = |partition| self.results.contains_key(&TaskId { stage: stage.stage, partition });
            if let Some(partition) = (0..stage.tasks).find(|partition| !has(*partition)) {
                self.violate("a job that succeeded has all results", format!("job {job}, partition {partition}"));
            }
        }
    }

    pub(crate) fn job_failed(&mut self, failure: &JobFailure) {
        self.end(failure.job);
        let task = failure.attempt.as_ref().map(|attempt| attempt.task);
        let count = |counts: &BTreeMap<TaskId, u32>| task.and_then(|task| counts.get(&task)).copied().unwrap_or(0);
        let failed = failure.stage.and_then(|stage| self.stage_failures.get(&stage)).copied().unwrap_or(0);
        let is_barrier = failure.stage.and_then(|stage| self.stages.get(&stage)).is_some_and(|stage| stage.barrier);
        let is_right = match &failure.cause {
            FailureCause::Cancelled(_) => self.cancelled.contains(&failure.job),
            FailureCause::Fetch { .. } => failed >= 4,
            FailureCause::Unschedulable
            | FailureCause::TooFewSlots { .. }
            | FailureCause::ResultsTooLarge { .. }
            | FailureCause::CannotRollBack(_) => true,
            _ if is_barrier && failed >= 4 => true,
            _ => count(&self.may_count) >= 4 || task.is_some_and(|task| self.fatal.contains(&task)),
        };
        if !is_right {
            self.violate("a job fails only for what counts", format!("{failure:?}"));
        }
    }

    fn end(&mut self, job: JobId) {
        if !self.ended.insert(job) {
            self.violate("a job ends once", job.to_string());
        }
    }

    /// Tasks that have failed too often end their jobs.
    pub(crate) fn check_counts(&mut self) {
        let over = self.does_count.iter().filter(|(_, failures)| **failures >= 4);
        let live = |task: &TaskId| self.jobs.iter().any(|(job, at)| *at == task.stage && !self.ended.contains(job));
        if let Some((task, failures)) = over.into_iter().find(|(task, _)| live(task)) {
            let what = format!("{task} failed {failures} times");
            self.violate("a task that fails four times ends its job", what);
        }
    }
}
