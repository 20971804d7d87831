//! Ids. A caller chooses those of jobs and stages; the scheduler makes those of attempts.

use std::fmt;

use slotmap::{Key as _, KeyData};

/// A job. Within a FIFO pool, jobs are served in the order of their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A stage. Within a job, stages are served in the order of their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StageId(pub u64);

impl fmt::Display for StageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A task: one partition of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// The stage.
    pub stage: StageId,
    /// The partition, counted from 0.
    pub partition: u32,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stage, self.partition)
    }
}

/// One run of a task on one executor. It is never used again, so whatever comes late about an
/// attempt that is over concerns nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskAttemptId(pub u64);

slotmap::new_key_type! {
    /// Where an attempt is kept.
    pub(crate) struct AttemptSlot;
    /// Where a stage is kept.
    pub(crate) struct StageSlot;
    /// Where an executor is kept.
    pub(crate) struct ExecutorSlot;
}

impl From<AttemptSlot> for TaskAttemptId {
    fn from(slot: AttemptSlot) -> TaskAttemptId {
        TaskAttemptId(slot.data().as_ffi())
    }
}

impl From<TaskAttemptId> for AttemptSlot {
    fn from(attempt: TaskAttemptId) -> AttemptSlot {
        KeyData::from_ffi(attempt.0).into()
    }
}

/// A worker, numbered in the order in which executors named it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WorkerIndex(pub(crate) u32);

/// A rack, numbered likewise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RackIndex(pub(crate) u32);

/// A place of outputs, numbered likewise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LocationIndex(pub(crate) u32);

/// A pool, numbered likewise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PoolIndex(pub(crate) u32);
