//! Functions that run as tasks: named by `#[muster_sdk::function]`, found by their names in the
//! same program on the executor. Their arguments and results travel as postcard writes them.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::TaskContext;
use crate::record::{RecordError, RecordShape, RecordTaker, give_records};

#[doc(hidden)]
pub use inventory;

/// A function that runs as a task. The attribute `#[muster_sdk::function]` implements it.
pub trait TaskFunction: 'static {
    /// Its argument, or a tuple of several.
    type Arguments: Serialize + DeserializeOwned;
    /// Its result.
    type Output: Serialize + DeserializeOwned + Send + 'static;
    /// Its path, unique in the program.
    const NAME: &'static str;
    /// Calls it.
    fn call(context: &TaskContext, arguments: Self::Arguments) -> Result<Self::Output, TaskError>;
}

/// Why a task failed, as its function says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskError {
    message: String,
    is_final: bool,
    unread: Option<UnreadOutput>,
}

/// An output that a task could not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnreadOutput {
    /// The stage that made it.
    pub(crate) stage: u64,
    /// The partition of the task that made it.
    pub(crate) partition: u32,
    /// Where it was sought.
    pub(crate) executor: u32,
    /// Whether nothing can be read there.
    pub(crate) unreachable: bool,
}

impl TaskError {
    /// The task is tried again, up to the limit of failures.
    pub fn new(message: impl fmt::Display) -> TaskError {
        TaskError { message: format!("{message:#}"), is_final: false, unread: None }
    }

    /// No other try can succeed: the job fails at once.
    pub fn for_ever(message: impl fmt::Display) -> TaskError {
        TaskError { is_final: true, ..TaskError::new(message) }
    }

    /// An output could not be read: it is made again, and then the task is tried again.
    pub(crate) fn unread(output: UnreadOutput, message: impl fmt::Display) -> TaskError {
        TaskError { unread: Some(output), ..TaskError::new(message) }
    }

    /// The output that could not be read, if that is why.
    pub(crate) fn unread_output(&self) -> Option<UnreadOutput> {
        self.unread
    }

    /// Whether no other try can succeed.
    pub fn is_for_ever(&self) -> bool {
        self.is_final
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TaskError {}

/// A `Result` that a function returns. It is for the code that the attribute makes.
#[doc(hidden)]
pub trait FallibleOutput {
    /// What it holds when all is well.
    type Output;
    /// The same with the error of tasks.
    fn into_task_result(self) -> Result<Self::Output, TaskError>;
}

impl<T, E: fmt::Display + 'static> FallibleOutput for Result<T, E> {
    type Output = T;

    fn into_task_result(self) -> Result<T, TaskError> {
        let kept = |error: E| match (&error as &dyn Any).downcast_ref::<TaskError>() {
            Some(error) => error.clone(),
            None => TaskError::new(error),
        };
        self.map_err(kept)
    }
}

/// A function of this program, as executors find it. The attribute registers it.
#[derive(Debug)]
pub struct RegisteredFunction {
    name: &'static str,
    run: fn(&TaskContext, &[u8]) -> Result<Vec<u8>, TaskError>,
    emit: EmitFunction,
}

/// Runs a function, and hands its result on as records.
type EmitFunction = fn(&TaskContext, &[u8], RecordShape, &mut RecordTaker<'_>) -> Result<(), TaskError>;

inventory::collect!(RegisteredFunction);

impl RegisteredFunction {
    /// The entry of a function.
    pub const fn new<F: TaskFunction>() -> RegisteredFunction {
        RegisteredFunction { name: F::NAME, run: run::<F>, emit: emit::<F> }
    }

    /// The function of a name.
    pub(crate) fn find(name: &str) -> Result<&'static RegisteredFunction, TaskError> {
        static TABLE: OnceLock<BTreeMap<&'static str, Option<&'static RegisteredFunction>>> = OnceLock::new();
        let table = TABLE.get_or_init(|| {
            let mut table = BTreeMap::new();
            for function in inventory::iter::<RegisteredFunction> {
                // A path does not name the function within which another one stands.
                table.entry(function.name).and_modify(|known| *known = None).or_insert(Some(function));
            }
            table
        });
        match table.get(name) {
            Some(Some(function)) => Ok(function),
            Some(None) => Err(TaskError::for_ever(format_args!("two functions are registered as `{name}`"))),
            None => Err(TaskError::for_ever(format_args!("no function is registered as `{name}`"))),
        }
    }

    /// Runs it with an argument as it travels, and returns the result as it travels.
    pub(crate) fn run(&self, context: &TaskContext, argument: &[u8]) -> Result<Vec<u8>, TaskError> {
        (self.run)(context, argument)
    }

    /// Runs it with an argument as it travels, and hands its result on as records.
    pub(crate) fn emit(
        &self,
        context: &TaskContext,
        argument: &[u8],
        shape: RecordShape,
        taker: &mut RecordTaker<'_>,
    ) -> Result<(), TaskError> {
        (self.emit)(context, argument, shape, taker)
    }
}

fn call<F: TaskFunction>(context: &TaskContext, argument: &[u8]) -> Result<F::Output, TaskError> {
    let arguments = postcard::from_bytes(argument).map_err(|error| {
        TaskError::for_ever(format_args!("the argument of `{}` cannot be decoded: {error}", F::NAME))
    })?;
    F::call(context, arguments)
}

fn not_encoded<F: TaskFunction>(error: impl fmt::Display) -> TaskError {
    TaskError::for_ever(format_args!("the result of `{}` cannot be encoded: {error}", F::NAME))
}

fn run<F: TaskFunction>(context: &TaskContext, argument: &[u8]) -> Result<Vec<u8>, TaskError> {
    postcard::to_stdvec(&call::<F>(context, argument)?).map_err(not_encoded::<F>)
}

fn emit<F: TaskFunction>(
    context: &TaskContext,
    argument: &[u8],
    shape: RecordShape,
    taker: &mut RecordTaker<'_>,
) -> Result<(), TaskError> {
    give_records(&call::<F>(context, argument)?, shape, taker).map_err(|error| match error {
        RecordError::Taker(error) => error,
        error => not_encoded::<F>(error),
    })
}
