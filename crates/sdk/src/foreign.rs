//! Tasks whose functions another language runs, on the link and the scheduler of this crate's own.
//! The driver's side takes functions, arguments and results as bytes; on the executor a
//! [`ForeignRunner`] makes functions of them and calls these. A function travels to each executor
//! once.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use muster_client::{CallError, v1};
use muster_dag::{JobId, JobSelection, StageId, StageKind};

use crate::build_digest::ExecutorBuild;
use crate::driver::{
    ArgumentError, ArgumentWriter, CallerInput, CallerInputs, DriverSide, JobOptions, JobReceiver, NewJob, NewStage,
    StageCode, StartError, start_foreign,
};
use crate::executor::serve_foreign;
use crate::{Context, JobError, TaskContext, TaskError};

/// Jobs that run at the same time; more wait for their turn, in the order of their numbers.
const MOST_JOBS: usize = 8_000;
/// What names of such functions begin with; a number follows.
const NAME_PREFIX: &str = "foreign:";
/// The number of the value that executors prepare themselves with. Functions have larger ones.
const SETUP: u64 = 0;

/// Gets what becomes of jobs. Its methods are called by the driver's loop, one after the other, so
/// they return at once and never wait.
pub trait ResultSink: Send + Sync + 'static {
    /// A task has a result.
    fn task_succeeded(&self, job: u64, partition: u32, result: Bytes);
    /// A job has ended. If it ended well, all its results have been handed over.
    fn job_ended(&self, job: u64, outcome: Result<(), JobError>);
}

/// Runs functions on an executor.
pub trait ForeignRunner: Send + Sync + 'static {
    /// Calls `run` once, on a thread that is to call functions until `run` returns.
    fn enter_thread(&self, run: &mut (dyn FnMut() + Send));
    /// Does what must be done before any function is loaded. It happens once per executor.
    fn prepare(&self, encoded: &[u8]) -> Result<(), TaskError>;
    /// Makes a function of what has travelled. It happens once per function and executor.
    fn load(&self, encoded: &[u8]) -> Result<Box<dyn ForeignFunction>, TaskError>;
    /// Ends the call that runs for an attempt, if it can and there is one. It does not wait.
    fn kill(&self, attempt: u64);
}

/// A function, on an executor.
pub trait ForeignFunction: Send + Sync + 'static {
    /// Calls it with an argument, and returns the result, both as they travel.
    fn call(&self, context: &TaskContext, argument: &[u8]) -> Result<Vec<u8>, TaskError>;
}

/// What driver and executors must have in common: a library, by its content, and the name of what
/// interprets functions, with its version.
#[derive(Debug, Clone)]
pub struct ForeignBuild(ExecutorBuild);

impl ForeignBuild {
    /// That of a library that this process has loaded.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn of_library(file: &Path, interpreter: &str) -> std::io::Result<ForeignBuild> {
        ExecutorBuild::of_library(file, interpreter).map(ForeignBuild)
    }
}

/// Runs this process as an executor until its driver wants nothing more. Returns its exit code;
/// what went wrong is on standard error.
pub fn serve(build: ForeignBuild, runner: Arc<dyn ForeignRunner>) -> u8 {
    serve_foreign(build.0, runner)
}

/// The driver's side.
pub struct ForeignTasks {
    side: tokio::sync::Mutex<DriverSide>,
    inputs: CallerInputs,
    application: String,
    jobs: Arc<ForeignJobs>,
}

/// The jobs that have not ended.
struct ForeignJobs {
    sink: Arc<dyn ResultSink>,
    inputs: CallerInputs,
    state: Mutex<ForeignJobsState>,
}

#[derive(Default)]
struct ForeignJobsState {
    last: u64,
    last_function: u64,
    running: usize,
    waiting: BTreeMap<u64, Box<NewJob>>,
}

impl fmt::Debug for ForeignTasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForeignTasks").field("application", &self.application).finish_non_exhaustive()
    }
}

impl ForeignTasks {
    /// Registers an application whose executors end up in [`serve`], and starts its driver's side.
    /// An empty name lets the master make one; `setup` is what executors prepare themselves with.
    /// It must be called within a tokio runtime.
    ///
    /// # Errors
    /// No port can be had, or the master refuses the application.
    pub async fn start(
        context: &Context,
        name: String,
        spec: v1::ApplicationSpec,
        build: ForeignBuild,
        setup: Vec<u8>,
        sink: Arc<dyn ResultSink>,
    ) -> Result<ForeignTasks, StartError> {
        let side = start_foreign(context, name, spec, build.0).await?;
        let inputs = side.inputs.clone();
        inputs.tell(CallerInput::Broadcast(SETUP, setup.into()));
        let application = side.application().to_owned();
        let jobs = Arc::new(ForeignJobs { sink, inputs: inputs.clone(), state: Mutex::default() });
        Ok(ForeignTasks { side: tokio::sync::Mutex::new(side), inputs, application, jobs })
    }

    /// The name of the application.
    pub fn application(&self) -> &str {
        &self.application
    }

    /// Keeps a function, for executors to load. What is returned is its number.
    pub fn add_function(&self, encoded: Vec<u8>) -> u64 {
        let mut state = self.jobs.lock();
        state.last_function += 1;
        self.tell(CallerInput::Broadcast(state.last_function, encoded.into()));
        state.last_function
    }

    /// Forgets a function, here and on all executors. None of its jobs may be left.
    pub fn forget_function(&self, function: u64) {
        self.tell(CallerInput::Forget(function));
    }

    /// The number for a job that is submitted next.
    pub fn new_job(&self) -> u64 {
        let mut state = self.jobs.lock();
        state.last += 1;
        state.last
    }

    /// Submits a job: a task for each argument.
    ///
    /// # Errors
    /// An argument is too large.
    pub fn submit<'a>(
        &self,
        job: u64,
        function: u64,
        name: &str,
        arguments: impl Iterator<Item = &'a [u8]>,
    ) -> Result<(), ArgumentError> {
        let mut writer = ArgumentWriter::default();
        for argument in arguments {
            writer.add_encoded(argument)?;
        }
        let arguments = Arc::new(writer.finish());
        let (id, tasks) = (StageId(job), u32::try_from(arguments.len()).unwrap_or(u32::MAX));
        let (code, parents) = (StageCode::Function(format!("{NAME_PREFIX}{function}").into()), Vec::new());
        let stage = NewStage { id, code, arguments, tasks, parents, kind: StageKind::Results, handle: None };
        self.jobs.submit(Box::new(NewJob {
            id: JobId(job),
            name: name.into(),
            stages: vec![stage],
            options: JobOptions::default(),
            receiver: JobReceiver::Sink(self.jobs.clone()),
            permit: None,
        }));
        Ok(())
    }

    /// Ends a job. That it was cancelled is its outcome, unless it has ended by then.
    pub fn cancel(&self, job: u64, reason: &str) {
        let waiting = self.jobs.lock().waiting.remove(&job);
        match waiting {
            Some(_) => self.jobs.sink.job_ended(job, Err(JobError::Ended(reason.into()))),
            None => self.tell(CallerInput::Cancel(JobSelection::Job(JobId(job)), reason.to_owned())),
        }
    }

    /// Ends the executors and the application; jobs that run fail. An error is what the application
    /// is said to have failed of.
    ///
    /// # Errors
    /// The master could not be told.
    pub async fn stop(&self, error: Option<&str>) -> Result<(), CallError> {
        let waiting = std::mem::take(&mut self.jobs.lock().waiting);
        for job in waiting.into_keys() {
            self.jobs.sink.job_ended(job, Err(JobError::Ended("the driver was stopped".into())));
        }
        self.side.lock().await.stop(error).await
    }

    fn tell(&self, input: CallerInput) {
        self.inputs.tell(input);
    }
}

impl ForeignJobs {
    fn submit(&self, job: Box<NewJob>) {
        let mut state = self.lock();
        if state.running < MOST_JOBS {
            state.running += 1;
            self.send(job);
        } else {
            state.waiting.insert(job.id.0, job);
        }
    }

    fn send(&self, job: Box<NewJob>) {
        let id = job.id.0;
        if !self.inputs.tell(CallerInput::Submit(job)) {
            self.sink.job_ended(id, Err(JobError::Ended("the driver has ended".into())));
        }
    }

    fn lock(&self) -> MutexGuard<'_, ForeignJobsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResultSink for ForeignJobs {
    fn task_succeeded(&self, job: u64, partition: u32, result: Bytes) {
        self.sink.task_succeeded(job, partition, result);
    }

    fn job_ended(&self, job: u64, outcome: Result<(), JobError>) {
        let mut state = self.lock();
        match state.waiting.pop_first() {
            Some((_, next)) => self.send(next),
            None => state.running = state.running.saturating_sub(1),
        }
        drop(state);
        self.sink.job_ended(job, outcome);
    }
}

/// The number of a function by its name.
pub(crate) fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix(NAME_PREFIX)?.parse().ok()
}

/// Something as it has travelled, and what was made of it. It is made when it is first needed, as
/// that may take long, and nobody else may wait for it meanwhile.
struct ForeignValue<T> {
    encoded: Vec<u8>,
    made: OnceLock<Result<T, TaskError>>,
}

/// Calls a function on an executor; the first task that does so waits until it has come.
pub(crate) fn call(context: &TaskContext, number: u64, argument: &[u8]) -> Result<Vec<u8>, TaskError> {
    let no_runner = || TaskError::for_ever("this executor runs functions of its own program alone");
    let runner = context.state.foreign.as_ref().ok_or_else(no_runner)?;
    let function = value::<Box<dyn ForeignFunction>>(context, number)?;
    let made = function.made.get_or_init(|| {
        let setup = value::<()>(context, SETUP)?;
        setup.made.get_or_init(|| runner.prepare(&setup.encoded)).clone()?;
        runner.load(&function.encoded)
    });
    made.as_ref().map_err(Clone::clone)?.call(context, argument)
}

fn value<T: Send + Sync + 'static>(context: &TaskContext, number: u64) -> Result<Arc<ForeignValue<T>>, TaskError> {
    let want = || context.state.outbox.add(|outgoing| outgoing.broadcasts_wanted.push(number));
    let kept = |encoded: &[u8]| Ok::<_, TaskError>(ForeignValue { encoded: encoded.to_vec(), made: OnceLock::new() });
    context.state.broadcasts.get_with(number, want, kept)
}
