//! Executors as they really are, which the scheduler only hears of.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use muster_dag::{OutputLocation, StageId, TaskAttemptId, TaskId};
use muster_types::{ExecutorId, WorkerUid};

/// An attempt that an executor was told to run.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    pub(crate) attempt: TaskAttemptId,
    pub(crate) task: TaskId,
    pub(crate) cores: u32,
    pub(crate) is_killed: bool,
    /// Whether it never ends by itself.
    pub(crate) hangs: bool,
    pub(crate) has_begun: bool,
    /// Where it reads the outputs of its parents.
    pub(crate) reads: Vec<(TaskId, OutputLocation)>,
}

/// An executor.
#[derive(Debug, Clone)]
pub(crate) struct SimulatedExecutor {
    pub(crate) id: ExecutorId,
    pub(crate) worker: WorkerUid,
    pub(crate) profile: u32,
    pub(crate) cores: u32,
    pub(crate) attempts: VecDeque<Running>,
}

impl SimulatedExecutor {
    /// Cores of what has begun.
    pub(crate) fn busy(&self) -> u32 {
        self.attempts.iter().filter(|it| it.has_begun).map(|it| it.cores).sum()
    }
}

/// What is really there.
#[derive(Debug, Default)]
pub(crate) struct Reality {
    pub(crate) executors: BTreeMap<ExecutorId, SimulatedExecutor>,
    /// Outputs by where they are.
    pub(crate) outputs: BTreeSet<(OutputLocation, TaskId)>,
}

impl Reality {
    pub(crate) fn forget_outputs_at(&mut self, location: OutputLocation) {
        self.outputs.retain(|(at, _)| *at != location);
    }

    pub(crate) fn forget_stage(&mut self, stage: StageId) {
        self.outputs.retain(|(_, task)| task.stage != stage);
    }
}
