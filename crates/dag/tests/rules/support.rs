//! A scheduler with executors, and short names for its inputs and effects.

use std::time::Duration;

use muster_dag::{
    ExecutorSpec, FetchFailure, JobFailure, JobId, JobSpec, OutputLocation, Scheduler, SchedulerConfig,
    SchedulerEffect, SchedulerInput, StageId, StageSpec, TaskEnd, TaskFailure, TaskId, TaskLaunch,
};
use muster_types::{ExecutorId, ProfileId, Time, WorkerUid};

pub(crate) struct Rig {
    pub(crate) scheduler: Scheduler,
    pub(crate) now: Time,
}

/// What an input has caused.
#[derive(Debug, Default)]
pub(crate) struct Effects(pub(crate) Vec<SchedulerEffect>);

impl Effects {
    pub(crate) fn launches(&self) -> Vec<TaskLaunch> {
        let launch = |effect: &SchedulerEffect| match effect {
            SchedulerEffect::Launch(launch) => Some(*launch),
            _ => None,
        };
        self.0.iter().filter_map(launch).collect()
    }

    /// Stage, partition and executor of each launch.
    pub(crate) fn launched(&self) -> Vec<(u64, u32, u32)> {
        self.launches().iter().map(|it| (it.task.stage.0, it.task.partition, it.executor.0)).collect()
    }

    pub(crate) fn launch(&self) -> TaskLaunch {
        let launches = self.launches();
        assert_eq!(launches.len(), 1, "one launch: {:?}", self.0);
        launches[0]
    }

    /// Jobs that have succeeded.
    pub(crate) fn succeeded(&self) -> Vec<u64> {
        let job = |effect: &SchedulerEffect| match effect {
            SchedulerEffect::JobSucceeded(job) => Some(job.0),
            _ => None,
        };
        self.0.iter().filter_map(job).collect()
    }

    pub(crate) fn failures(&self) -> Vec<JobFailure> {
        let failure = |effect: &SchedulerEffect| match effect {
            SchedulerEffect::JobFailed(failure) => Some((**failure).clone()),
            _ => None,
        };
        self.0.iter().filter_map(failure).collect()
    }

    /// Jobs that have failed.
    pub(crate) fn failed(&self) -> Vec<u64> {
        self.failures().iter().map(|failure| failure.job.0).collect()
    }

    pub(crate) fn task_failures(&self) -> Vec<TaskFailure> {
        let failure = |effect: &SchedulerEffect| match effect {
            SchedulerEffect::TaskFailed(failure) => Some((**failure).clone()),
            _ => None,
        };
        self.0.iter().filter_map(failure).collect()
    }

    pub(crate) fn kills(&self) -> usize {
        self.0.iter().filter(|effect| matches!(effect, SchedulerEffect::Kill { .. })).count()
    }

    pub(crate) fn has(&self, effect: &SchedulerEffect) -> bool {
        self.0.contains(effect)
    }
}

/// The settings of these tests: nothing is sent ahead.
pub(crate) fn config() -> SchedulerConfig {
    let mut config = SchedulerConfig::default();
    config.prefetch.most = 0;
    config
}

impl Rig {
    pub(crate) fn with(config: SchedulerConfig) -> Rig {
        Rig { scheduler: Scheduler::new(config), now: Time(1) }
    }

    /// Executors of one core each, numbered from 0, each on the worker of this number.
    pub(crate) fn on(workers: &[u64]) -> Rig {
        let mut rig = Rig::with(config());
        rig.add_executors(workers);
        rig
    }

    pub(crate) fn add_executors(&mut self, workers: &[u64]) {
        for (number, worker) in (0..).zip(workers) {
            self.add_executor(number, *worker, 1);
        }
    }

    pub(crate) fn add_executor(&mut self, number: u32, worker: u64, cores: u32) -> Effects {
        let rack = Some(if worker < 10 { "a".into() } else { "b".into() });
        let worker = WorkerUid(u128::from(worker));
        let spec = ExecutorSpec { executor: ExecutorId(number), worker, rack, profile: ProfileId(0), cores };
        let refused = self.give(SchedulerInput::RegisterExecutor(spec));
        if refused.has(&SchedulerEffect::ExecutorAccepted(ExecutorId(number))) {
            return self.give(SchedulerInput::ExecutorReady(ExecutorId(number)));
        }
        refused
    }

    pub(crate) fn give(&mut self, input: SchedulerInput) -> Effects {
        self.scheduler.handle(self.now, input);
        let effects = Effects(self.scheduler.drain().collect());
        assert_eq!(muster_dag::invariants::check(&self.scheduler), []);
        effects
    }

    /// Lets time pass, with a tick at each deadline.
    pub(crate) fn pass(&mut self, length: Duration) -> Effects {
        let end = self.now + length;
        let mut all = Effects::default();
        while let Some(due) = self.scheduler.next_deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            all.0.extend(self.give(SchedulerInput::Tick).0);
        }
        self.now = end;
        all
    }

    pub(crate) fn submit(&mut self, job: u64, stages: Vec<StageSpec>) -> Effects {
        self.submit_as(JobSpec { stages, ..spec(job) })
    }

    /// Submits a job for the last of its stages.
    pub(crate) fn submit_as(&mut self, mut spec: JobSpec) -> Effects {
        if let Some(last) = spec.stages.last() {
            spec.target = last.stage;
        }
        self.give(SchedulerInput::SubmitJob(Box::new(spec)))
    }

    pub(crate) fn end(&mut self, launch: TaskLaunch, end: TaskEnd) -> Effects {
        self.give(SchedulerInput::AttemptEnded(launch.executor, launch.attempt, end))
    }

    pub(crate) fn succeed(&mut self, launch: TaskLaunch) -> Effects {
        self.end(launch, success())
    }

    pub(crate) fn fail(&mut self, launch: TaskLaunch) -> Effects {
        self.end(launch, TaskEnd::Failed { message: "no".into(), retry: true })
    }

    /// A fetch of an output from an executor fails.
    pub(crate) fn fail_fetch(
        &mut self,
        launch: TaskLaunch,
        output: (u64, u32),
        from: u32,
        unreachable: bool,
    ) -> Effects {
        let output = TaskId { stage: StageId(output.0), partition: output.1 };
        let location = OutputLocation::Executor(ExecutorId(from));
        let failure = FetchFailure { output, location, unreachable, message: "gone".into() };
        self.end(launch, TaskEnd::FetchFailed(failure))
    }

    /// Ends every attempt with success, and all that follow, and returns the effects.
    pub(crate) fn finish(&mut self, launches: Vec<TaskLaunch>) -> Effects {
        let mut all = Effects::default();
        let mut open: std::collections::VecDeque<_> = launches.into();
        while let Some(launch) = open.pop_front() {
            let effects = self.succeed(launch);
            open.extend(effects.launches());
            all.0.extend(effects.0);
        }
        all
    }
}

pub(crate) fn success() -> TaskEnd {
    TaskEnd::Succeeded { ran: Duration::from_millis(100), kept_by: None, result_bytes: 1 }
}

pub(crate) fn spec(job: u64) -> JobSpec {
    JobSpec {
        job: JobId(job),
        stages: Vec::new(),
        target: StageId(0),
        pool: "default".into(),
        group: None,
        tags: Vec::new(),
    }
}

pub(crate) fn results(stage: u64, tasks: u32, parents: &[u64]) -> StageSpec {
    let parents = parents.iter().copied().map(StageId).collect();
    StageSpec { parents, ..StageSpec::results(StageId(stage), tasks) }
}

pub(crate) fn outputs(stage: u64, tasks: u32, parents: &[u64]) -> StageSpec {
    let parents = parents.iter().copied().map(StageId).collect();
    StageSpec { parents, ..StageSpec::outputs(StageId(stage), tasks) }
}

pub(crate) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(crate) fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}
