//! Attempts of tasks that run.

mod commit;
mod end;
mod kill;
mod launch;

pub(crate) use launch::TakenTask;

use muster_types::{ExecutorId, Time};

use crate::TaskAttemptId;
use crate::ids::{AttemptSlot, ExecutorSlot, StageSlot, WorkerIndex};

/// One run of a task, from its launch until the executor says that it has ended, or is lost.
///
/// ```text
/// launched ──▶ started ──▶ ended
///     │           │
///     └───────────┴── abandoned ──▶ ended
/// ```
///
/// Whatever an abandoned attempt reports, it only gives its cores back.
#[derive(Debug, Clone)]
pub(crate) struct TaskAttempt {
    pub(crate) id: TaskAttemptId,
    pub(crate) stage: StageSlot,
    pub(crate) partition: u32,
    pub(crate) executor: ExecutorSlot,
    pub(crate) executor_id: ExecutorId,
    pub(crate) worker: WorkerIndex,
    pub(crate) cores: u32,
    /// The attempt of the stage.
    pub(crate) stage_attempt: u32,
    /// How often the task was launched before.
    pub(crate) number: u16,
    /// The order of all launches.
    pub(crate) sequence: u64,
    /// An output made under an output epoch at which its keeper had lost its outputs is not taken.
    pub(crate) output_epoch: u64,
    /// When its run began, if that was reported.
    pub(crate) started: Option<Time>,
    /// When it was launched, or began as far as that was looked at.
    pub(crate) began: Time,
    pub(crate) is_abandoned: bool,
    /// The attempt of the same task that was launched before this one and still runs.
    pub(crate) before: Option<AttemptSlot>,
    /// Its place in the list of its executor.
    pub(crate) at_executor: u32,
    /// Its place in the list of its stage.
    pub(crate) at_stage: u32,
}
