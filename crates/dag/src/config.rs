//! The settings of a scheduler.

use std::time::Duration;

/// Settings. The reason for each default is given there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchedulerConfig {
    /// Failures of one task that end its job, of those that count.
    pub max_task_failures: u8,
    /// Failed attempts of one stage in a row that end its jobs.
    pub max_stage_failures: u8,
    /// How long better places are waited for.
    pub locality_wait: LocalityWait,
    /// How long failed fetches are gathered before the stages run again.
    pub resubmit_delay: Duration,
    /// How long the reason is awaited after the stream of an executor has broken.
    pub disconnect_delay: Duration,
    /// How long an executor may send no heartbeat.
    pub heartbeat_timeout: Duration,
    /// How long a killed task may go on before its executor is replaced; `None`: for ever.
    pub kill_timeout: Option<Duration>,
    /// How a barrier stage waits for enough executors.
    pub barrier: BarrierWait,
    /// Most bytes of results of one job, all tasks together.
    pub max_result_bytes: u64,
    /// Copies of slow tasks; `None`: none are made.
    pub speculation: Option<SpeculationRule>,
    /// Keeping tasks from where they fail; `None`: they go anywhere.
    pub exclusion: Option<ExclusionRule>,
    /// Tasks that are sent ahead of free cores.
    pub prefetch: PrefetchRule,
    /// Bounds of what callers may ask for.
    pub limits: SchedulerLimits,
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        SchedulerConfig {
            // A cause that is not the task's own rarely hits it four times.
            max_task_failures: 4,
            max_stage_failures: 4,
            locality_wait: LocalityWait::default(),
            // One lost executor fails many fetches within moments of each other.
            resubmit_delay: Duration::from_millis(200),
            // The master's word on an end takes a report and a commit, and perhaps an election.
            disconnect_delay: Duration::from_secs(5),
            // Twelve heartbeats.
            heartbeat_timeout: Duration::from_secs(120),
            // Longer than any loop that looks for a request to stop.
            kill_timeout: Some(Duration::from_secs(60)),
            barrier: BarrierWait::default(),
            // What a driver of a few GiB can hold beside its own data.
            max_result_bytes: 1 << 30,
            // Both cost what not everybody wants to pay: cores, and executors.
            speculation: None,
            exclusion: None,
            prefetch: PrefetchRule::default(),
            limits: SchedulerLimits::default(),
        }
    }
}

/// How long a stage waits at a level of locality before it takes a worse one. Zero does not wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalityWait {
    /// For the preferred executor.
    pub process: Duration,
    /// For another executor of its worker.
    pub node: Duration,
    /// For another worker of its rack.
    pub rack: Duration,
}

impl Default for LocalityWait {
    fn default() -> Self {
        // About what it costs to move the input of a task that is worth moving.
        let wait = Duration::from_secs(3);
        LocalityWait { process: wait, node: wait, rack: wait }
    }
}

/// How a barrier stage waits for enough executors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BarrierWait {
    /// Between two looks.
    pub interval: Duration,
    /// Looks that find too few before the job fails.
    pub tries: u32,
}

impl Default for BarrierWait {
    fn default() -> Self {
        // Ten minutes in all: a cluster that grows by machines needs some.
        BarrierWait { interval: Duration::from_secs(15), tries: 40 }
    }
}

/// When a running task is run a second time elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpeculationRule {
    /// Between two looks at a stage.
    pub interval: Duration,
    /// Hundredths of the tasks of a stage that must have succeeded.
    pub quantile_percent: u32,
    /// How many times the median run time a task must have run.
    pub multiplier: u32,
    /// The least time that it must have run.
    pub least: Duration,
}

impl Default for SpeculationRule {
    fn default() -> Self {
        SpeculationRule {
            interval: Duration::from_millis(100),
            quantile_percent: 90,
            multiplier: 3,
            // Below it a copy costs more than it saves.
            least: Duration::from_millis(100),
        }
    }
}

/// After how many failures tasks are kept away from an executor or a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExclusionRule {
    /// Failures of one task on one executor: the task avoids the executor.
    pub task_failures_per_executor: u32,
    /// Failures of one task on one worker: the task avoids the worker.
    pub task_failures_per_worker: u32,
    /// Tasks of one stage that failed on one executor: the stage avoids the executor.
    pub stage_tasks_per_executor: u32,
    /// Executors of one worker that a stage avoids: the stage avoids the worker.
    pub stage_executors_per_worker: u32,
    /// Tasks, of stages that succeeded at last, that failed on one executor: all avoid it.
    pub application_tasks_per_executor: u32,
    /// Executors of one worker that all avoid: all avoid the worker.
    pub application_executors_per_worker: u32,
    /// How long an executor or worker is avoided by all, and a failure counts towards that.
    pub timeout: Duration,
    /// How long a task may wait that every executor is excluded for, before its jobs fail.
    pub unschedulable_timeout: Duration,
    /// Whether executors that all avoid are replaced.
    pub replace: bool,
}

impl Default for ExclusionRule {
    fn default() -> Self {
        ExclusionRule {
            task_failures_per_executor: 1,
            task_failures_per_worker: 2,
            stage_tasks_per_executor: 2,
            stage_executors_per_worker: 2,
            application_tasks_per_executor: 2,
            application_executors_per_worker: 2,
            timeout: Duration::from_secs(3600),
            unschedulable_timeout: Duration::from_secs(120),
            replace: false,
        }
    }
}

/// Tasks that are sent to an executor before it has a free core, so that short tasks do not wait
/// for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefetchRule {
    /// The run time of the tasks that may wait for one core.
    pub ahead: Duration,
    /// How many tasks may wait for one core; 0: none.
    pub most: u32,
}

impl Default for PrefetchRule {
    fn default() -> Self {
        // Hides a round trip of a fraction of a millisecond many times over, and keeps what the
        // last executor of a stage has left below what a person notices.
        PrefetchRule { ahead: Duration::from_millis(10), most: 1024 }
    }
}

/// Bounds of what callers may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchedulerLimits {
    /// Jobs that have not ended.
    pub jobs: usize,
    /// Stages that are known.
    pub stages: usize,
    /// Tasks of one stage.
    pub tasks: u32,
    /// Pools. Each is looked at for every launch.
    pub pools: usize,
    /// Groups that are remembered to be cancelled in advance.
    pub cancelled_groups: usize,
}

impl Default for SchedulerLimits {
    fn default() -> Self {
        SchedulerLimits {
            jobs: 10_000,
            stages: 100_000,
            // 160 MB of records.
            tasks: 10_000_000,
            pools: 100,
            cancelled_groups: 1_000,
        }
    }
}
