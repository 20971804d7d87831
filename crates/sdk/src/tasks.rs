//! The handle by which a program runs functions on executors.

use std::fmt;
use std::marker::PhantomData;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use muster_client::CallError;
use muster_dag::{JobId, JobSelection, PoolSpec, SchedulerConfig, StageId, StageKind};
use serde::Serialize;
use tokio::sync::{Mutex, Semaphore, broadcast, oneshot};

use crate::dataset::value_arguments;
use crate::driver::{
    self, ArgumentError, ArgumentWriter, CallerInput, CallerInputs, DriverSide, JobOptions, JobReceiver, NewJob,
    NewStage, StageArguments, StageCode, StageResults, StartError,
};
use crate::error_text::error_text;
use crate::executor::{is_executor, run_if_executor};
use crate::job::{decode_all, decode_one};
use crate::plan::PlanSource;
use crate::{Broadcast, Collection, Dataset, Job, JobError, TaskEvent, TaskFunction, progress};

/// Jobs that may run at the same time; more wait to be submitted.
const MOST_JOBS: usize = 8_000;

/// What is asked of the cluster.
#[derive(Debug, Clone)]
pub struct TasksOptions {
    /// Name of the application, for people.
    pub name: String,
    /// Executors.
    pub executors: u32,
    /// Cores of each: so many tasks it runs at the same time.
    pub executor_cores: u32,
    /// Memory of each in bytes.
    pub executor_memory: u64,
    /// What executors run. `None`: this program, which the driver gives to the workers. A path is
    /// one of the workers, and the file must be the same build.
    pub executor_program: Option<String>,
    /// Run driver and executor in this process, with so many cores. `MUSTER_MASTER=local[n]` says
    /// the same.
    pub local: Option<u32>,
    /// Bytes of outputs that an executor keeps in memory for the tasks of later stages; more goes
    /// to its scratch directory. `None`: a quarter of its memory.
    pub output_memory: Option<u64>,
    /// How outputs are written.
    pub output_compression: OutputCompression,
    /// Bytes that one task may hold of the outputs that it fetches.
    pub fetch_memory: u64,
    /// Show bars on a terminal.
    pub progress: bool,
    /// The settings of the scheduler.
    pub scheduler: SchedulerConfig,
}

/// How outputs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutputCompression {
    /// Compressed by LZ4, where that makes them smaller.
    #[default]
    Lz4,
    /// As they are.
    None,
}

impl Default for TasksOptions {
    /// Two executors of one core and 512 MiB, and bars.
    fn default() -> Self {
        TasksOptions {
            name: "tasks".to_owned(),
            executors: 2,
            executor_cores: 1,
            executor_memory: 512 << 20,
            executor_program: None,
            local: None,
            output_memory: None,
            output_compression: OutputCompression::Lz4,
            fetch_memory: 16 << 20,
            progress: true,
            scheduler: SchedulerConfig::default(),
        }
    }
}

/// Runs functions on executors. It is cheap to clone.
#[derive(Clone)]
pub struct Tasks {
    shared: Arc<TasksShared>,
    options: JobOptions,
}

struct TasksShared {
    side: Mutex<DriverSide>,
    inputs: CallerInputs,
    events: broadcast::Sender<TaskEvent>,
    permits: Arc<Semaphore>,
    /// Jobs and stages are numbered together, so that a job has the number of its last stage.
    next_stage: AtomicU64,
    next_broadcast: AtomicU64,
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Tasks {
    /// Starts the driver's side of an application, in the cluster that the environment names or in
    /// this process. It must be called within a tokio runtime, by a program that [`run`] has
    /// started: its executors are the same program.
    pub async fn start(options: TasksOptions) -> Result<Tasks, StartError> {
        if is_executor() {
            return Err(StartError::InExecutor);
        }
        let local = match options.local {
            Some(cores) => Some(cores),
            None => local_of_environment()?,
        };
        if local == Some(0) || (local.is_none() && (options.executors == 0 || options.executor_cores == 0)) {
            return Err(StartError::NoCores);
        }
        let side = match local {
            Some(cores) => driver::start_locally(&options, cores)?,
            None => driver::start_in_cluster(&options).await?,
        };
        if options.progress {
            tokio::spawn(progress::show(side.events.subscribe()));
        }
        Ok(Tasks {
            shared: Arc::new(TasksShared {
                inputs: side.inputs.clone(),
                events: side.events.clone(),
                side: Mutex::new(side),
                permits: Arc::new(Semaphore::new(MOST_JOBS)),
                next_stage: AtomicU64::new(1),
                next_broadcast: AtomicU64::new(1),
            }),
            options: JobOptions::default(),
        })
    }

    /// The same with other options for the jobs that are submitted by what is returned.
    pub fn with(&self, options: JobOptions) -> Tasks {
        Tasks { shared: self.shared.clone(), options }
    }

    /// Runs a function once. What is returned is a future of its result.
    pub fn submit<F: TaskFunction>(&self, arguments: F::Arguments) -> Job<F::Output> {
        self.submit_job::<F, _>(std::iter::once(arguments), decode_one::<F>)
    }

    /// Runs a function for each argument. What is returned is a future of the results, in their
    /// order.
    pub fn map<F: TaskFunction>(&self, arguments: impl IntoIterator<Item = F::Arguments>) -> Job<Vec<F::Output>> {
        self.submit_job::<F, _>(arguments.into_iter(), decode_all::<F>)
    }

    /// Values of this program as a dataset of so many partitions.
    pub fn dataset<T: Serialize>(&self, values: impl IntoIterator<Item = T>, partitions: u32) -> Dataset<T> {
        Dataset::of_arguments(self.clone(), PlanSource::Argument, value_arguments(values, partitions))
    }

    /// All that a function makes of these arguments as a dataset: one partition for each of them.
    pub fn dataset_of<F>(
        &self,
        arguments: impl IntoIterator<Item = F::Arguments>,
    ) -> Dataset<<F::Output as Collection>::Item>
    where
        F: TaskFunction,
        F::Output: Collection,
    {
        Dataset::of_arguments(self.clone(), PlanSource::Call(F::NAME.to_owned()), written(arguments))
    }

    fn submit_job<F: TaskFunction, T>(
        &self,
        arguments: impl Iterator<Item = F::Arguments>,
        decode: fn(&StageResults) -> Result<T, JobError>,
    ) -> Job<T> {
        let stage = |id| {
            let arguments = written(arguments)?;
            let (tasks, code) =
                (u32::try_from(arguments.len()).unwrap_or(u32::MAX), StageCode::Function(F::NAME.into()));
            let (arguments, parents, kind) = (Arc::new(arguments), Vec::new(), StageKind::Results);
            Ok(vec![NewStage { id, code, arguments, tasks, parents, kind, handle: None }])
        };
        self.submit_stages(F::NAME, stage, decode)
    }

    /// Submits a job of the stages that are made for its number.
    pub(crate) fn submit_stages<T>(
        &self,
        name: &'static str,
        stages: impl FnOnce(StageId) -> Result<Vec<NewStage>, JobError>,
        decode: fn(&StageResults) -> Result<T, JobError>,
    ) -> Job<T> {
        let id = self.next_stage();
        let stages = match stages(id) {
            Ok(stages) => stages,
            Err(error) => return Job::failed(self.shared.inputs.clone(), error, decode),
        };
        let (outcome, receiver) = oneshot::channel();
        let (id, options, outcome) = (JobId(id.0), self.options.clone(), JobReceiver::Outcome(outcome));
        let job = NewJob { id, name: name.into(), stages, options, receiver: outcome, permit: None };
        let permits = self.shared.permits.clone();
        let permit = permits.clone().try_acquire_owned().map_err(|_| Box::pin(permits.acquire_owned()) as _);
        Job::new(self.shared.inputs.clone(), job, receiver, permit, decode)
    }

    pub(crate) fn next_stage(&self) -> StageId {
        StageId(self.shared.next_stage.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn driver(&self) -> &CallerInputs {
        &self.shared.inputs
    }

    /// Keeps a value that tasks may read: it travels to each executor once.
    ///
    /// # Errors
    /// It cannot be encoded.
    pub fn broadcast<T: Serialize>(&self, value: &T) -> Result<Broadcast<T>, JobError> {
        let encoded = postcard::to_stdvec(value).map_err(|error| driver::ArgumentError::Encode(0, error))?;
        let number = self.shared.next_broadcast.fetch_add(1, Ordering::Relaxed);
        self.tell(CallerInput::Broadcast(number, encoded.into()));
        Ok(Broadcast { number, value: PhantomData })
    }

    /// Forgets a value, here and on all executors.
    pub fn forget<T>(&self, broadcast: Broadcast<T>) {
        self.tell(CallerInput::Forget(broadcast.number));
    }

    /// Ends the jobs of a group, and refuses those that name it later if `future` says so.
    pub fn cancel_group(&self, group: &str, future: bool, reason: &str) {
        self.tell(CallerInput::Cancel(JobSelection::Group { group: group.into(), future }, reason.to_owned()));
    }

    /// Ends the jobs with a tag.
    pub fn cancel_tag(&self, tag: &str, reason: &str) {
        self.tell(CallerInput::Cancel(JobSelection::Tag(tag.into()), reason.to_owned()));
    }

    /// Ends all jobs.
    pub fn cancel_all(&self, reason: &str) {
        self.tell(CallerInput::Cancel(JobSelection::All, reason.to_owned()));
    }

    /// Adds a pool, or changes one.
    pub fn set_pool(&self, pool: PoolSpec) {
        self.tell(CallerInput::SetPool(pool));
    }

    /// What happens from now on.
    pub fn events(&self) -> broadcast::Receiver<TaskEvent> {
        self.shared.events.subscribe()
    }

    /// Ends the executors and the application; jobs that run fail. An error is what the application
    /// is said to have failed of.
    ///
    /// # Errors
    /// The master could not be told.
    pub async fn stop(&self, error: Option<&str>) -> Result<(), CallError> {
        self.shared.side.lock().await.stop(error).await
    }

    fn tell(&self, input: CallerInput) {
        self.shared.inputs.tell(input);
    }
}

fn written<A: Serialize>(arguments: impl IntoIterator<Item = A>) -> Result<StageArguments, ArgumentError> {
    let mut writer = ArgumentWriter::default();
    arguments.into_iter().try_for_each(|argument| writer.add(&argument))?;
    Ok(writer.finish())
}

/// The cores of `MUSTER_MASTER=local[n]`.
fn local_of_environment() -> Result<Option<u32>, StartError> {
    let Ok(text) = std::env::var("MUSTER_MASTER") else { return Ok(None) };
    let Some(rest) = text.strip_prefix("local[") else { return Ok(None) };
    let cores = rest.strip_suffix(']').and_then(|cores| cores.parse().ok()).filter(|cores| (1..=1024).contains(cores));
    cores.map(Some).ok_or(StartError::Local(text))
}

/// Runs a program with tasks: the whole of its `main`. In an executor, which is the same program,
/// this serves tasks and never calls `main`. What `main` returns as an error is printed, and is the
/// program's failure.
pub fn run<F, E>(options: TasksOptions, main: impl FnOnce(Tasks) -> F) -> ExitCode
where
    F: Future<Output = Result<(), E>>,
    E: fmt::Display,
{
    if let Some(code) = run_if_executor() {
        return code;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error_text(&error)),
    };
    let ended = runtime.block_on(async {
        let tasks = Tasks::start(options).await.map_err(|error| error_text(&error))?;
        let ended = main(tasks.clone()).await.map_err(|error| format!("{error:#}"));
        let stopped = tasks.stop(ended.as_ref().err().map(String::as_str)).await;
        ended.and(stopped.map_err(|error| error_text(&error)))
    });
    // A task that does not end keeps nobody waiting.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => failed(&text),
    }
}

fn failed(text: &str) -> ExitCode {
    use std::io::Write as _;
    // An error means that nobody reads it.
    let _ = writeln!(std::io::stderr(), "error: {text}");
    ExitCode::FAILURE
}
