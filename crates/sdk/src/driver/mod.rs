//! The driver's side: one loop that feeds the scheduler and carries out what it decides, the links
//! to executors, and the session with the master.

mod accept;
mod binary;
mod callers;
mod cluster;
mod event_loop;
mod failed_starts;
mod failure;
mod fetch;
mod locations;
mod outgoing;
mod stage_record;
mod start;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use muster_client::v1;
use muster_dag::{ExecutorLoss, JobId, JobSelection, PoolSpec, StageId, StageKind};
use muster_types::ExecutorId;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::foreign::ResultSink;
use crate::job::JobOutcome;
pub(crate) use callers::CallerInputs;
pub(crate) use event_loop::DriverLoop;
pub use stage_record::ArgumentError;
pub(crate) use stage_record::{ArgumentWriter, StageArguments, StageCode, StageResults};
pub use start::StartError;
pub(crate) use start::{DriverSide, start_foreign, start_in_cluster, start_locally};

/// By what jobs may be found, and how they share executors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobOptions {
    /// For people; the function's name without one.
    pub name: Option<Arc<str>>,
    /// The group by which jobs may be cancelled.
    pub group: Option<Arc<str>>,
    /// The tags by which jobs may be cancelled.
    pub tags: Vec<Arc<str>>,
    /// The pool.
    pub pool: Arc<str>,
}

impl Default for JobOptions {
    fn default() -> Self {
        JobOptions { name: None, group: None, tags: Vec::new(), pool: "default".into() }
    }
}

/// A job.
#[derive(Debug)]
pub(crate) struct NewJob {
    pub(crate) id: JobId,
    /// Its name, unless the options have one.
    pub(crate) name: Arc<str>,
    /// The stages that it needs, parents before children, known or not. The last one is what it is
    /// for, and has the number of the job.
    pub(crate) stages: Vec<NewStage>,
    pub(crate) options: JobOptions,
    pub(crate) receiver: JobReceiver,
    /// Held until the job has ended: it bounds how many there are.
    pub(crate) permit: Option<OwnedSemaphorePermit>,
}

/// A stage that a job needs.
#[derive(Debug)]
pub(crate) struct NewStage {
    pub(crate) id: StageId,
    pub(crate) code: StageCode,
    pub(crate) arguments: Arc<StageArguments>,
    pub(crate) tasks: u32,
    pub(crate) parents: Vec<StageId>,
    pub(crate) kind: StageKind,
    /// Has the stage released when the last one is dropped, which is after its job was submitted.
    pub(crate) handle: Option<Arc<dyn Any + Send + Sync>>,
}

/// Who gets the results of a job.
pub(crate) enum JobReceiver {
    /// All at once, when it has ended.
    Outcome(oneshot::Sender<JobOutcome>),
    /// Each as it comes.
    Sink(Arc<dyn ResultSink>),
}

impl JobReceiver {
    /// Hands over how the job came out.
    pub(crate) fn end(self, job: JobId, outcome: JobOutcome) {
        match self {
            // An error means that nobody waits for it.
            JobReceiver::Outcome(sender) => drop(sender.send(outcome)),
            JobReceiver::Sink(sink) => sink.job_ended(job.0, outcome.map(drop)),
        }
    }
}

impl fmt::Debug for JobReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JobReceiver")
    }
}

/// What the loop hears of its own program and of the master. Jobs are bounded by their permits, and
/// all else by the jobs and by what the master says.
#[derive(Debug)]
pub(crate) enum CallerInput {
    /// Run a job.
    Submit(Box<NewJob>),
    /// End jobs.
    Cancel(JobSelection, String),
    /// Add or change a pool.
    SetPool(PoolSpec),
    /// Keep a value for executors.
    Broadcast(u64, Bytes),
    /// Forget a value.
    Forget(u64),
    /// Forget a stage with outputs.
    ReleaseStage(StageId),
    /// The master's word on an executor.
    ExecutorLost(ExecutorId, ExecutorLoss),
    /// The executor's worker drains.
    ExecutorDraining(ExecutorId),
    /// All executors that have not ended, in the master's words.
    ExecutorsAlive(Vec<v1::Executor>),
    /// A target is not met.
    ExecutorsPending(u32, String),
    /// Executors end before they are linked, for this reason.
    StartsFailed(Arc<str>),
    /// Nothing can run any more.
    Ended(Arc<str>),
    /// Have all executors end, and those that come later.
    Stop(oneshot::Sender<()>),
}
