//! What the tasks of a stage do, by the names of functions, as driver and executor of one build
//! write it. A plan knows no types: those are checked where it is made, by
//! [`Dataset`](crate::Dataset).

use serde::{Deserialize, Serialize};

/// What the tasks of a stage do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StagePlan {
    pub(crate) source: PlanSource,
    pub(crate) steps: Vec<PlanStep>,
    pub(crate) sink: PlanSink,
}

/// Where records come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PlanSource {
    /// A function is called with the argument of the task, and returns a collection of them.
    Call(String),
    /// They are the argument of the task.
    Argument,
    /// They are read from the outputs of stages, those of one key together.
    Outputs { parents: Vec<ParentStage>, rule: MergeRule },
}

/// A stage whose outputs are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ParentStage {
    pub(crate) stage: u64,
    pub(crate) tasks: u32,
}

/// What becomes of the values of one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum MergeRule {
    /// A function makes one of two, until one is left.
    Reduce(String),
    /// They become a list, in the order of the tasks that made them.
    Group,
    /// Each of the first parent meets each of the second.
    Join,
}

/// What is done with each record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PlanStep {
    /// A function makes another one of it.
    Map(String),
    /// A function makes a collection of others of it.
    FlatMap(String),
    /// A function says whether it stays.
    Filter(String),
}

/// Where records go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PlanSink {
    /// To the caller.
    Collect,
    /// Only their number goes to the caller.
    Count,
    /// They are kept for the tasks of other stages, each with its key's. A function makes one value
    /// of two of the same key before that, where there is one.
    Keep { readers: u32, combine: Option<String> },
}
