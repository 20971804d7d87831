//! The executor's side: threads that run tasks, and the link to the driver.

mod context;
mod link;
mod merge;
mod outgoing;
mod output;
mod plan_run;
mod process;
mod queue;
mod state;
mod threads;

pub use context::TaskContext;
pub(crate) use link::follow;
#[cfg(test)]
pub(crate) use outgoing::ExecutorOutgoing;
pub(crate) use output::ExecutorOutputs;
pub use process::run_if_executor;
pub(crate) use process::{DRIVER_VARIABLE, LARGEST_MESSAGE, TOKEN_VARIABLE, is_executor, serve_foreign};
pub(crate) use state::SharedByThreads;
