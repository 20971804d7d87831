//! Bringing tasks and executors together.
//!
//! After each input, no task waits that could run: an executor that has a core free is offered to
//! the stages that wait, and a stage that has something new to launch is offered the executors
//! that are free. Everything else was offered before, and refused.

mod barrier;
mod executor;
mod level;
mod list;
mod stage;
mod take;

use std::collections::BTreeSet;

use crate::ids::{ExecutorSlot, StageSlot};

/// What of a stage is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StageOffer {
    /// Everything that waits.
    All,
    /// One task.
    Task(u32),
}

/// What has changed by the input, and is settled at its end.
#[derive(Debug, Default)]
pub(crate) struct Unsettled {
    /// Stages that lost an output of the kind that takes others with it.
    pub(crate) roll_back: Vec<StageSlot>,
    /// Stages whose parents have lost outputs.
    pub(crate) required: BTreeSet<StageSlot>,
    /// Executors that may have a core free.
    pub(crate) executors: Vec<ExecutorSlot>,
    /// Stages that have something new to launch.
    pub(crate) stages: Vec<(StageSlot, StageOffer)>,
}
