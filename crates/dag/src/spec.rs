//! What a caller asks for: jobs, their stages, pools; and what an executor says of itself.

use std::sync::Arc;

use muster_types::{ExecutorId, ProfileId, WorkerUid};

use crate::{JobId, StageId};

/// A job: the stages that it adds, and the one that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobSpec {
    /// Its id, larger than that of every earlier job.
    pub job: JobId,
    /// New stages, parents before children.
    pub stages: Vec<StageSpec>,
    /// The stage whose completion ends the job: one of the new ones, or one with outputs that is
    /// known.
    pub target: StageId,
    /// Its pool. A pool that is not known is made with the defaults of [`PoolSpec::new`].
    pub pool: Arc<str>,
    /// The group by which it may be cancelled.
    pub group: Option<Arc<str>>,
    /// The tags by which it may be cancelled.
    pub tags: Vec<Arc<str>>,
}

/// A stage: tasks of one kind that need nothing of each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageSpec {
    /// Its id.
    pub stage: StageId,
    /// The stages whose outputs its tasks read; known, or before it in the list.
    pub parents: Vec<StageId>,
    /// How many tasks it has, at least one.
    pub tasks: u32,
    /// What becomes of what its tasks make.
    pub kind: StageKind,
    /// The profile of the executors that may run it.
    pub profile: ProfileId,
    /// The cores that each task takes, at least one.
    pub cores: u32,
    /// Where each task would rather run; empty when no task prefers anything.
    pub preferences: Vec<Vec<Preference>>,
    /// Whether all tasks run at the same time or none does.
    pub barrier: bool,
    /// Whether a task that runs again makes the same output in the same order. Where it does not,
    /// the loss of one output takes back all that was made of any of them.
    pub deterministic: bool,
}

impl StageSpec {
    /// A stage whose results go to the caller, of tasks of one core each that prefer nothing.
    pub fn results(stage: StageId, tasks: u32) -> StageSpec {
        StageSpec {
            stage,
            parents: Vec::new(),
            tasks,
            kind: StageKind::Results,
            profile: ProfileId(0),
            cores: 1,
            preferences: Vec::new(),
            barrier: false,
            deterministic: true,
        }
    }

    /// The same, whose outputs are kept for other stages.
    pub fn outputs(stage: StageId, tasks: u32) -> StageSpec {
        StageSpec { kind: StageKind::Outputs, ..StageSpec::results(stage, tasks) }
    }
}

/// What becomes of what the tasks of a stage make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageKind {
    /// It goes to the caller. The stage belongs to one job, and is forgotten with it.
    Results,
    /// It is kept for stages that read it, of any job, until the stage is released.
    Outputs,
}

/// Where a task would rather run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Preference {
    /// In this executor, on its worker, or at least in its rack.
    Executor(ExecutorId),
    /// On this worker, or at least in its rack.
    Worker(WorkerUid),
}

/// Who keeps an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OutputLocation {
    /// The executor that made it, or to which it was moved.
    Executor(ExecutorId),
    /// The agent of a worker, which outlives its executors.
    Worker(WorkerUid),
}

/// A pool: jobs that share executors with other pools by weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSpec {
    /// Its name.
    pub name: Arc<str>,
    /// The order of the stages within it.
    pub order: PoolOrder,
    /// Its share against other pools, at least 1.
    pub weight: u32,
    /// Running tasks that it is given before any pool that has its own.
    pub min_share: u32,
}

impl PoolSpec {
    /// A pool of weight 1 without a share of its own, that serves its jobs one after the other.
    pub fn new(name: impl Into<Arc<str>>) -> PoolSpec {
        PoolSpec { name: name.into(), order: PoolOrder::Fifo, weight: 1, min_share: 0 }
    }
}

/// The order of the stages within a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolOrder {
    /// By job, then by stage.
    Fifo,
    /// The stage with the fewest running tasks first.
    Fair,
}

/// An executor that registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutorSpec {
    /// Its number, unique within the application for all time.
    pub executor: ExecutorId,
    /// The worker that runs it.
    pub worker: WorkerUid,
    /// The rack of the worker, from its labels; `None` if that is not known.
    pub rack: Option<Arc<str>>,
    /// Its profile.
    pub profile: ProfileId,
    /// Its cores, at least one.
    pub cores: u32,
}
