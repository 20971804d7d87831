//! Tasks, as a driver in Python has them: jobs go to the driver's loop, and results are taken by a
//! thread of Python, as many at once as have come.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use muster_client::v1;
use muster_sdk::foreign::{ForeignBuild, ForeignTasks, ResultSink};
use muster_sdk::{Context, JobError};
use prost::bytes::Bytes;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::answer::{Call, start};
use crate::failure::CallFailure;
use crate::json::from_json;

/// A result of a task: its job, its partition, and what it is.
type TaskResult = (u64, u32, Bytes);
/// The end of a job: the word for how it failed, and a sentence; `None` if it did not.
type JobEnd = (u64, Option<(&'static str, String)>);

/// What has come and was not taken yet. Callers bound it by what they submit.
#[derive(Default)]
struct ResultQueue {
    state: Mutex<ResultQueueState>,
    added: Condvar,
}

#[derive(Default)]
struct ResultQueueState {
    results: Vec<TaskResult>,
    ended: Vec<JobEnd>,
    is_closed: bool,
}

impl ResultQueue {
    fn lock(&self) -> MutexGuard<'_, ResultQueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something; `None` once it is closed and all was taken.
    fn take(&self) -> Option<(Vec<TaskResult>, Vec<JobEnd>)> {
        let mut state = self.lock();
        loop {
            if !state.results.is_empty() || !state.ended.is_empty() {
                return Some((std::mem::take(&mut state.results), std::mem::take(&mut state.ended)));
            }
            if state.is_closed {
                return None;
            }
            state = self.added.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn close(&self) {
        self.lock().is_closed = true;
        self.added.notify_all();
    }
}

impl ResultSink for ResultQueue {
    fn task_succeeded(&self, job: u64, partition: u32, result: Bytes) {
        self.lock().results.push((job, partition, result));
        self.added.notify_one();
    }

    fn job_ended(&self, job: u64, outcome: Result<(), JobError>) {
        let failure = outcome.err().map(|error| (kind(&error), error.to_string()));
        self.lock().ended.push((job, failure));
        self.added.notify_one();
    }
}

fn kind(error: &JobError) -> &'static str {
    match error {
        JobError::Failed(_) => "failed",
        JobError::Ended(_) => "ended",
        JobError::Rejected(_) | JobError::Argument(_) | JobError::Result { .. } => "refused",
    }
}

/// The driver's side of an application that runs tasks.
#[pyclass(frozen, module = "muster._native", name = "Tasks")]
pub(crate) struct PyTasks {
    tasks: Arc<ForeignTasks>,
    results: Arc<ResultQueue>,
}

/// What an application that runs tasks is made of.
pub(crate) struct TasksRequest {
    /// Its name; empty: the master makes one.
    pub(crate) name: String,
    /// The specification, as JSON.
    pub(crate) spec: String,
    /// What executors prepare themselves with.
    pub(crate) setup: Vec<u8>,
    /// The file of this module.
    pub(crate) library: PathBuf,
    /// The interpreter with its version.
    pub(crate) interpreter: String,
}

/// Registers an application, and starts its driver's side.
pub(crate) async fn start_tasks(context: Context, request: TasksRequest) -> Result<PyTasks, CallFailure> {
    let TasksRequest { name, spec, setup, library, interpreter } = request;
    let spec: v1::ApplicationSpec = from_json("ApplicationSpec", &spec)?;
    let build = ForeignBuild::of_library(&library, &interpreter).map_err(CallFailure::Library)?;
    let results = Arc::<ResultQueue>::default();
    let tasks = ForeignTasks::start(&context, name, spec, build, setup, results.clone()).await?;
    Ok(PyTasks { tasks: Arc::new(tasks), results })
}

#[pymethods]
impl PyTasks {
    /// The name of the application.
    #[getter]
    fn application(&self) -> &str {
        self.tasks.application()
    }

    /// Keeps a function for executors. Gives its number.
    fn add_function(&self, encoded: Vec<u8>) -> u64 {
        self.tasks.add_function(encoded)
    }

    /// Forgets a function none of whose jobs is left.
    fn forget_function(&self, function: u64) {
        self.tasks.forget_function(function);
    }

    /// The number for a job that is submitted next.
    fn new_job(&self) -> u64 {
        self.tasks.new_job()
    }

    /// Submits a job: a task for each argument.
    fn submit(&self, job: u64, function: u64, name: &str, arguments: Vec<Bound<'_, PyBytes>>) -> PyResult<()> {
        let arguments = arguments.iter().map(|argument| argument.as_bytes());
        let submitted = self.tasks.submit(job, function, name, arguments);
        submitted.map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// Ends a job.
    fn cancel(&self, job: u64, reason: &str) {
        self.tasks.cancel(job, reason);
    }

    /// Waits for results: `([(job, partition, result)…], [(job, (kind, message) | None)…])`; None when
    /// nothing more will come.
    #[expect(clippy::type_complexity, reason = "it is a tuple of Python's")]
    fn next_results<'py>(&self, py: Python<'py>) -> Option<(Vec<(u64, u32, Bound<'py, PyBytes>)>, Vec<JobEnd>)> {
        let (results, ended) = py.detach(|| self.results.take())?;
        let results = results.into_iter().map(|(job, partition, result)| (job, partition, PyBytes::new(py, &result)));
        Some((results.collect(), ended))
    }

    /// Has nothing more come once all was taken that is there.
    fn close_results(&self) {
        self.results.close();
    }

    /// Ends the application; what runs fails. An error is what it is said to have failed of.
    #[pyo3(signature = (error, done))]
    fn stop(&self, error: Option<String>, done: Py<PyAny>) -> PyResult<Call> {
        let tasks = self.tasks.clone();
        start(done, async move { Ok(tasks.stop(error.as_deref()).await?) })
    }
}
