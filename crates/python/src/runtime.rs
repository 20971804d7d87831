//! The runtime that calls run on.

use std::sync::OnceLock;

use pyo3::PyErr;
use pyo3::exceptions::PyRuntimeError;
use tokio::runtime::{Builder, Handle, Runtime};

/// Calls wait for the network; one thread carries thousands of them, and a second one keeps them
/// going while the first waits for the interpreter's lock in a callback.
const THREADS: usize = 2;

/// The runtime, and the process that it was made in.
struct ProcessRuntime {
    process: u32,
    runtime: Runtime,
}

/// The runtime of this process, made when it is first needed. A process that was forked off has
/// none of its threads: connections are made in the process that uses them.
pub(crate) fn handle() -> Result<Handle, PyErr> {
    static RUNTIME: OnceLock<Result<ProcessRuntime, std::io::Error>> = OnceLock::new();
    let made = RUNTIME.get_or_init(|| {
        let runtime = Builder::new_multi_thread().worker_threads(THREADS).thread_name("muster").enable_all().build()?;
        Ok(ProcessRuntime { process: std::process::id(), runtime })
    });
    match made {
        Ok(made) if made.process == std::process::id() => Ok(made.runtime.handle().clone()),
        Ok(_) => Err(PyRuntimeError::new_err(
            "this process was forked from one that has used muster, whose threads it does not have: start it with the \
             method `spawn` or `forkserver` of multiprocessing",
        )),
        Err(error) => Err(PyRuntimeError::new_err(format!("muster cannot start its threads: {error}"))),
    }
}
