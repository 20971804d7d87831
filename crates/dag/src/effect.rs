//! What a scheduler wants done.

use std::fmt;

use muster_types::ExecutorId;

use crate::{ExecutorLoss, JobId, Locality, OutputLocation, StageId, TaskAttemptId, TaskId};

/// One effect. The driver carries effects out in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchedulerEffect {
    /// The job will not run; nothing of it is known.
    JobRejected(JobId, JobRejection),
    /// Every task of the job's target has succeeded.
    JobSucceeded(JobId),
    /// The job has ended without.
    JobFailed(Box<JobFailure>),
    /// An attempt of a stage begins.
    StageStarted {
        /// The stage.
        stage: StageId,
        /// The attempt, counted from 0.
        attempt: u32,
        /// Tasks that it has to run.
        tasks: u32,
    },
    /// All tasks of the stage have succeeded.
    StageCompleted(StageId),
    /// An attempt of the stage has failed; another follows if a job still needs the stage.
    StageFailed {
        /// The stage.
        stage: StageId,
        /// The attempt.
        attempt: u32,
    },
    /// The results of this stage so far are void: it is a barrier stage, and all its tasks run
    /// again.
    ResultsTakenBack(StageId),
    /// The stage is forgotten: its outputs may be removed wherever they are.
    StageReleased(StageId),
    /// Run a task.
    Launch(TaskLaunch),
    /// Stop an attempt. It takes its core until it has ended.
    Kill {
        /// Where it runs.
        executor: ExecutorId,
        /// The attempt.
        attempt: TaskAttemptId,
        /// Why.
        reason: TaskKillReason,
    },
    /// The success of this attempt is the task's: its result counts. No other attempt's does.
    TaskSucceeded {
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: TaskAttemptId,
    },
    /// An attempt has failed.
    TaskFailed(Box<TaskFailure>),
    /// The answer to a question about a commit.
    CommitAnswer {
        /// Who asked.
        executor: ExecutorId,
        /// The attempt.
        attempt: TaskAttemptId,
        /// Whether it may commit.
        allowed: bool,
    },
    /// The executor is accepted.
    ExecutorAccepted(ExecutorId),
    /// The executor is refused, and must end.
    ExecutorRefused(ExecutorId, ExecutorRefusal),
    /// The executor is gone, and all that ran there is settled.
    ExecutorRemoved(ExecutorId, ExecutorLoss),
    /// Have the master end the executor and start another one.
    ReplaceExecutor(ExecutorId, ReplaceReason),
    /// Every executor is excluded for a task; more executors would help.
    Unschedulable(TaskId),
}

/// A task to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskLaunch {
    /// Where.
    pub executor: ExecutorId,
    /// The attempt by which everything later names it.
    pub attempt: TaskAttemptId,
    /// The task.
    pub task: TaskId,
    /// The attempt of its stage, counted from 0.
    pub stage_attempt: u32,
    /// How often the task was launched before.
    pub number: u16,
    /// The executor drops what it knows of outputs under a lower output epoch.
    pub output_epoch: u64,
    /// How near it is to what it prefers.
    pub locality: Locality,
    /// Whether it is a copy of one that is slow.
    pub speculative: bool,
}

/// Why an attempt is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskKillReason {
    /// Another attempt of its task has succeeded.
    AnotherSucceeded,
    /// No job needs its stage any more.
    StageEnded,
    /// What it reads, or runs beside, is made anew.
    StageRestarted,
}

/// Why a job was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobRejection {
    /// The id is that of a job that runs.
    DuplicateJob,
    /// The id is that of a stage that is known.
    DuplicateStage(StageId),
    /// A stage, or the target, names a stage that is not known.
    UnknownStage(StageId),
    /// The target is the stage of another job, whose results go there.
    ForeignTarget(StageId),
    /// A parent keeps no outputs.
    NoOutputs(StageId),
    /// A stage has no tasks.
    NoTasks(StageId),
    /// Tasks of a stage take no cores.
    NoCores(StageId),
    /// There are preferences, and not as many as tasks.
    Preferences(StageId),
    /// A stage has more tasks than the limit.
    TooManyTasks(StageId),
    /// There are too many jobs, stages or pools.
    TooMany(&'static str),
    /// Its group was cancelled in advance.
    GroupCancelled,
}

impl fmt::Display for JobRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JobRejection::DuplicateJob => f.write_str("a job of this id runs"),
            JobRejection::DuplicateStage(stage) => write!(f, "stage {stage} exists"),
            JobRejection::UnknownStage(stage) => write!(f, "there is no stage {stage}"),
            JobRejection::ForeignTarget(stage) => write!(f, "stage {stage} belongs to another job"),
            JobRejection::NoOutputs(stage) => write!(f, "stage {stage} keeps no outputs"),
            JobRejection::NoTasks(stage) => write!(f, "stage {stage} has no tasks"),
            JobRejection::NoCores(stage) => write!(f, "the tasks of stage {stage} take no cores"),
            JobRejection::Preferences(stage) => {
                write!(f, "stage {stage} has preferences, and not one list for each task")
            }
            JobRejection::TooManyTasks(stage) => write!(f, "stage {stage} has too many tasks"),
            JobRejection::TooMany(what) => write!(f, "there are too many {what}"),
            JobRejection::GroupCancelled => f.write_str("its group was cancelled"),
        }
    }
}

/// Why an executor was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutorRefusal {
    /// An executor of this number is, or was, registered.
    Duplicate,
    /// Its worker is excluded.
    Excluded,
    /// It has no cores.
    NoCores,
}

impl ExecutorRefusal {
    /// The sentence that the executor is shown.
    pub fn sentence(self, executor: ExecutorId) -> String {
        match self {
            ExecutorRefusal::Duplicate => format!("Duplicate executor ID: {executor}"),
            ExecutorRefusal::Excluded => format!("Executor is excluded due to failures: {executor}"),
            ExecutorRefusal::NoCores => format!("Executor has no cores: {executor}"),
        }
    }
}

/// Why an executor is to be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplaceReason {
    /// It sent no heartbeat.
    HeartbeatTimeout,
    /// A task that was killed there goes on.
    TaskNotKilled,
    /// Tasks fail there.
    Excluded,
}

/// An attempt that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskFailure {
    /// The task.
    pub task: TaskId,
    /// The attempt of the stage.
    pub stage_attempt: u32,
    /// How often the task was launched before.
    pub number: u16,
    /// Where it ran.
    pub executor: ExecutorId,
    /// What happened.
    pub cause: FailureCause,
    /// Whether it counts against the task.
    pub counted: bool,
}

/// Why an attempt, a stage or a job failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailureCause {
    /// A function failed.
    Function {
        /// What it said.
        message: String,
        /// Whether another try could succeed.
        retry: bool,
    },
    /// An output could not be read.
    Fetch {
        /// The task that made it.
        output: TaskId,
        /// Where it was sought.
        location: OutputLocation,
        /// What went wrong.
        message: String,
    },
    /// The executor is gone.
    ExecutorLost(ExecutorLoss),
    /// The attempt was killed.
    Killed,
    /// The attempt was not allowed to commit.
    CommitDenied,
    /// The result could not be fetched.
    ResultLost,
    /// The executor gave the task back before it began.
    NotStarted,
    /// What it made was kept by an executor that has lost its outputs since.
    OutputLost,
    /// The results of the job are larger than the limit, all together.
    ResultsTooLarge {
        /// Bytes so far.
        bytes: u64,
        /// The limit.
        most: u64,
    },
    /// Somebody ended the job.
    Cancelled(String),
    /// Every executor was excluded for a task for too long.
    Unschedulable,
    /// There were too few executors to run a barrier stage for too long.
    TooFewSlots {
        /// Tasks of the stage.
        needed: u32,
        /// Tasks that all executors together could run.
        available: u64,
    },
    /// An output was lost that cannot be made again as it was, and some of what was made of it has
    /// left the cluster.
    CannotRollBack(StageId),
}

impl fmt::Display for FailureCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FailureCause::Function { message, .. } => f.write_str(message),
            FailureCause::Fetch { output, message, .. } => write!(f, "output {output} cannot be read: {message}"),
            FailureCause::ExecutorLost(loss) => write!(f, "its executor is lost: {loss}"),
            FailureCause::Killed => f.write_str("it was killed"),
            FailureCause::CommitDenied => f.write_str("another attempt commits"),
            FailureCause::ResultLost => f.write_str("its result cannot be fetched"),
            FailureCause::NotStarted => f.write_str("it was given back"),
            FailureCause::OutputLost => f.write_str("its output was lost"),
            FailureCause::ResultsTooLarge { bytes, most } => {
                write!(f, "its results have {bytes} bytes, and a job may have {most}")
            }
            FailureCause::Cancelled(reason) => write!(f, "it was cancelled: {reason}"),
            FailureCause::Unschedulable => f.write_str("every executor is excluded for a task"),
            FailureCause::TooFewSlots { needed, available } => {
                write!(f, "{needed} tasks must run at the same time, and executors have room for {available}")
            }
            FailureCause::CannotRollBack(stage) => {
                write!(
                    f,
                    "results were made of an output of stage {stage} that is lost and cannot be made again as it was"
                )
            }
        }
    }
}

/// Why a job ended without success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFailure {
    /// The job.
    pub job: JobId,
    /// The stage that failed; `None` when the job was ended as a whole.
    pub stage: Option<StageId>,
    /// The attempt that failed last, when one has.
    pub attempt: Option<TaskFailure>,
    /// What happened.
    pub cause: FailureCause,
}
