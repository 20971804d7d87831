//! Functions that run as tasks: named by `#[muster_sdk::function]`, found by their names in the
//! same program on the executor. Their arguments and results travel as postcard writes them.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::TaskContext;

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
}

impl TaskError {
    /// The task is tried again, up to the limit of failures.
    pub fn new(message: impl fmt::Display) -> TaskError {
        TaskError { message: format!("{message:#}"), is_final: false }
    }

    /// No other try can succeed: the job fails at once.
    pub fn for_ever(message: impl fmt::Display) -> TaskError {
        TaskError { is_final: true, ..TaskError::new(message) }
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
}

inventory::collect!(RegisteredFunction);

impl RegisteredFunction {
    /// The entry of a function.
    pub const fn new<F: TaskFunction>() -> RegisteredFunction {
        RegisteredFunction { name: F::NAME, run: run::<F> }
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
}

fn run<F: TaskFunction>(context: &TaskContext, argument: &[u8]) -> Result<Vec<u8>, TaskError> {
    let arguments = postcard::from_bytes(argument).map_err(|error| {
        TaskError::for_ever(format_args!("the argument of `{}` cannot be decoded: {error}", F::NAME))
    })?;
    let output = F::call(context, arguments)?;
    postcard::to_stdvec(&output)
        .map_err(|error| TaskError::for_ever(format_args!("the result of `{}` cannot be encoded: {error}", F::NAME)))
}
