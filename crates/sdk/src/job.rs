//! A job that was submitted, and how it ends.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use muster_dag::{JobId, JobRejection, JobSelection};
use serde::de::DeserializeOwned;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, oneshot};

use crate::TaskFunction;
use crate::driver::{ArgumentError, CallerInput, CallerInputs, NewJob, StageResults};

/// Why a job has no result.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JobError {
    /// A task failed for the last time.
    #[error("{0}")]
    Failed(Box<FailedJob>),
    /// It was refused.
    #[error("the job was refused: {0}")]
    Rejected(JobRejection),
    /// An argument cannot travel.
    #[error(transparent)]
    Argument(#[from] ArgumentError),
    /// A result is of another type than the function's.
    #[error("result {partition} of `{function}` cannot be decoded: {cause}")]
    Result {
        /// The partition.
        partition: usize,
        /// The function.
        function: &'static str,
        /// Why.
        cause: postcard::Error,
    },
    /// There is nothing any more that could run it.
    #[error("the job cannot run: {0}")]
    Ended(Arc<str>),
}

/// A job that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedJob {
    /// The job.
    pub job: u64,
    /// Its name.
    pub name: Arc<str>,
    /// The stage that failed; `None` when the job was ended as a whole.
    pub stage: Option<u64>,
    /// The attempt that failed last, if one has.
    pub attempt: Option<FailedAttempt>,
    /// What went wrong.
    pub cause: String,
}

/// The attempt of a task with which its job failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedAttempt {
    /// The partition.
    pub partition: u32,
    /// Which try it was, counted from 1.
    pub number: u32,
    /// The executor.
    pub executor: u32,
    /// The end of what the executor has written to standard error; empty if that cannot be read.
    pub last_words: String,
}

impl fmt::Display for FailedJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "job {} ({}) failed", self.job, self.name)?;
        if let Some(stage) = self.stage {
            write!(f, " in stage {stage}")?;
        }
        if let Some(attempt) = &self.attempt {
            let FailedAttempt { partition, number, executor, .. } = attempt;
            write!(f, ": task {partition}, attempt {number}, on executor {executor}")?;
        }
        write!(f, ": {}", self.cause)?;
        match &self.attempt {
            Some(attempt) if !attempt.last_words.is_empty() => {
                write!(f, "\nthe executor's last words:\n{}", attempt.last_words.trim_end())
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// How a job came out.
pub(crate) type JobOutcome = Result<StageResults, JobError>;

type Permit = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

/// Where a job stands, as its handle knows.
enum HandleState {
    /// It waits until there are fewer jobs.
    Waiting { permit: Permit, job: Box<NewJob>, outcome: oneshot::Receiver<JobOutcome> },
    /// It is the driver's.
    Submitted(oneshot::Receiver<JobOutcome>),
    /// Its end was told.
    Ended,
}

/// A job: a future of its result. Dropping it cancels the job.
#[must_use = "a job is cancelled when its handle is dropped"]
pub struct Job<T> {
    id: JobId,
    state: HandleState,
    driver: CallerInputs,
    decode: fn(&StageResults) -> Result<T, JobError>,
    counts: BTreeMap<String, u64>,
    failed: Option<JobError>,
}

impl<T> fmt::Debug for Job<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Job({})", self.id)
    }
}

impl<T> Job<T> {
    pub(crate) fn new(
        driver: CallerInputs,
        job: NewJob,
        outcome: oneshot::Receiver<JobOutcome>,
        permit: Result<OwnedSemaphorePermit, Permit>,
        decode: fn(&StageResults) -> Result<T, JobError>,
    ) -> Job<T> {
        let (id, mut job) = (job.id, Box::new(job));
        let state = match permit {
            Ok(permit) => {
                job.permit = Some(permit);
                submit(&driver, job);
                HandleState::Submitted(outcome)
            }
            Err(permit) => HandleState::Waiting { permit, job, outcome },
        };
        Job { id, state, driver, decode, counts: BTreeMap::new(), failed: None }
    }

    /// One that has failed before it was submitted.
    pub(crate) fn failed(
        driver: CallerInputs,
        error: JobError,
        decode: fn(&StageResults) -> Result<T, JobError>,
    ) -> Job<T> {
        let state = HandleState::Ended;
        Job { id: JobId(0), state, driver, decode, counts: BTreeMap::new(), failed: Some(error) }
    }

    /// Its number.
    pub fn id(&self) -> u64 {
        self.id.0
    }

    /// Ends it. Its error is that it was cancelled.
    pub fn cancel(&self, reason: &str) {
        if let HandleState::Submitted(_) = self.state {
            self.driver.tell(CallerInput::Cancel(JobSelection::Job(self.id), reason.to_owned()));
        }
    }

    /// What its tasks have counted, by name, once it has ended with success.
    pub fn counts(&self) -> &BTreeMap<String, u64> {
        &self.counts
    }
}

fn submit(driver: &CallerInputs, job: Box<NewJob>) {
    // Where the driver has ended, the job's end of the channel says so.
    driver.tell(CallerInput::Submit(job));
}

impl<T> Unpin for Job<T> {}

impl<T> Future for Job<T> {
    type Output = Result<T, JobError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = || JobError::Ended("the driver has ended".into());
        let handle = self.get_mut();
        if let HandleState::Waiting { permit, .. } = &mut handle.state {
            let permit = ready!(permit.as_mut().poll(context));
            let HandleState::Waiting { mut job, outcome, .. } =
                std::mem::replace(&mut handle.state, HandleState::Ended)
            else {
                return Poll::Ready(Err(ended()));
            };
            let Ok(permit) = permit else { return Poll::Ready(Err(ended())) };
            job.permit = Some(permit);
            submit(&handle.driver, job);
            handle.state = HandleState::Submitted(outcome);
        }
        let outcome = match &mut handle.state {
            HandleState::Submitted(outcome) => ready!(Pin::new(outcome).poll(context)).unwrap_or_else(|_| Err(ended())),
            HandleState::Waiting { .. } | HandleState::Ended => Err(handle.failed.take().unwrap_or_else(ended)),
        };
        handle.state = HandleState::Ended;
        Poll::Ready(outcome.and_then(|mut results| {
            handle.counts = std::mem::take(&mut results.counts);
            (handle.decode)(&results)
        }))
    }
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        self.cancel("nobody waits for it any more");
    }
}

/// The result of a job of one task.
pub(crate) fn decode_one<F: TaskFunction>(results: &StageResults) -> Result<F::Output, JobError> {
    decode::<F, F::Output>(0, results.iter().next().unwrap_or_default())
}

/// The results of a job, in the order of its arguments.
pub(crate) fn decode_all<F: TaskFunction>(results: &StageResults) -> Result<Vec<F::Output>, JobError> {
    results.iter().enumerate().map(|(partition, result)| decode::<F, F::Output>(partition, result)).collect()
}

fn decode<F: TaskFunction, T: DeserializeOwned>(partition: usize, result: &[u8]) -> Result<T, JobError> {
    postcard::from_bytes(result).map_err(|cause| JobError::Result { partition, function: F::NAME, cause })
}
