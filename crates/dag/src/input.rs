//! What a scheduler hears.

use std::sync::Arc;
use std::time::Duration;

use muster_types::{ExecutorId, WorkerUid};

use crate::{ExecutorLoss, ExecutorSpec, JobId, JobSpec, OutputLocation, PoolSpec, StageId, TaskAttemptId, TaskId};

/// One input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchedulerInput {
    /// Run a job.
    SubmitJob(Box<JobSpec>),
    /// End jobs.
    Cancel {
        /// Which.
        jobs: JobSelection,
        /// By whom and why, for people.
        reason: String,
    },
    /// Forget a stage with outputs as soon as no job and no other stage needs it.
    ReleaseStage(StageId),
    /// Add a pool, or change one.
    SetPool(PoolSpec),
    /// An executor has said hello. It is given nothing before it is ready.
    RegisterExecutor(ExecutorSpec),
    /// An executor can run tasks.
    ExecutorReady(ExecutorId),
    /// The stream of an executor has broken. It is given nothing more, and is lost unless a reason
    /// comes first.
    ExecutorDisconnected(ExecutorId),
    /// An executor is gone.
    ExecutorLost(ExecutorId, ExecutorLoss),
    /// A worker is gone, with its executors and all that its agent kept.
    WorkerLost(WorkerUid),
    /// An executor is taken out of service: it finishes what it runs and is given nothing more.
    DecommissionExecutor(ExecutorId),
    /// The driver has asked for the end of an executor.
    ExecutorKillRequested(ExecutorId),
    /// An executor is alive.
    ExecutorHeartbeat(ExecutorId),
    /// An attempt has begun to run, so long ago.
    AttemptStarted(ExecutorId, TaskAttemptId, Duration),
    /// An attempt is over.
    AttemptEnded(ExecutorId, TaskAttemptId, TaskEnd),
    /// An attempt asks whether it may commit what it wrote outside.
    AskCommit(ExecutorId, TaskAttemptId),
    /// An output was moved by its keeper.
    OutputMoved(TaskId, OutputLocation),
    /// A deadline has passed.
    Tick,
}

/// Which jobs are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobSelection {
    /// One.
    Job(JobId),
    /// Those of a group.
    Group {
        /// The group.
        group: Arc<str>,
        /// Whether jobs that name the group later are refused as well.
        future: bool,
    },
    /// Those with a tag.
    Tag(Arc<str>),
    /// Those that need a stage.
    Stage(StageId),
    /// Every one.
    All,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskEnd {
    /// It succeeded.
    Succeeded {
        /// How long it ran.
        ran: Duration,
        /// Who keeps its output, when that is not the executor; only of a stage with outputs.
        kept_by: Option<OutputLocation>,
        /// Bytes of its result; only of a stage with results.
        result_bytes: u64,
    },
    /// Its function failed.
    Failed {
        /// What it said, for people. The driver bounds it.
        message: String,
        /// Whether another try could succeed: a function that is not there never does.
        retry: bool,
    },
    /// It could not read an output of a parent.
    FetchFailed(FetchFailure),
    /// It was killed.
    Killed,
    /// It was not allowed to commit.
    CommitDenied,
    /// Its result could not be fetched from the executor.
    ResultLost,
    /// The executor gave it back before it began.
    NotStarted,
}

/// An output that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchFailure {
    /// The task that made it.
    pub output: TaskId,
    /// Where it was sought.
    pub location: OutputLocation,
    /// Whether nothing can be read there, rather than this output alone.
    pub unreachable: bool,
    /// What went wrong, for people.
    pub message: String,
}
