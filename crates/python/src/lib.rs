//! The native module of the Python package `muster`: the client and the sdk, so that the search for
//! the leader, retries, TLS and tokens are written once.
//!
//! Python sees little of it. A [`connection::Connection`] makes calls by the name of their method,
//! whose requests and answers are the wire's own JSON, and a stream hands out one message at a
//! time. Nothing here waits: a call runs on this module's runtime and hands its answer to a
//! callback, for which the package makes a future. So Python waits in ways of its own, which give
//! way to a signal at once, and one mechanism serves threads and asyncio alike.

mod answer;
mod application;
mod calls;
mod connection;
mod executor;
mod failure;
mod json;
mod runtime;
mod streams;
mod tasks;

use pyo3::prelude::*;

/// The module `muster._native`.
#[pymodule(name = "_native", gil_used = false)]
mod native {
    #[pymodule_export]
    use super::answer::Call;
    #[pymodule_export]
    use super::application::{PyApplication, PyApplicationSession};
    #[pymodule_export]
    use super::connection::PyConnection;
    #[pymodule_export]
    use super::executor::run_executor;
    #[pymodule_export]
    use super::streams::{PyEventStream, PyLogStream};
    #[pymodule_export]
    use super::tasks::PyTasks;
}
