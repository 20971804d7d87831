//! An executor whose functions Python runs: what it does with them is in `muster.executor`.

use std::path::PathBuf;
use std::sync::Arc;

use muster_sdk::foreign::{ForeignBuild, ForeignFunction, ForeignRunner, serve};
use muster_sdk::{TaskContext, TaskError};
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Python's side, as `muster.executor` gives it.
struct PyRunner {
    prepare: Py<PyAny>,
    load: Py<PyAny>,
    kill: Arc<Py<PyAny>>,
    /// The exception that ends the call of a killed attempt.
    killed: Arc<Py<PyAny>>,
}

/// What `load` has made: called with the number of the attempt and the argument.
struct PyFunction {
    run: Py<PyAny>,
    killed: Arc<Py<PyAny>>,
}

/// The two sides answer for all errors of functions; what is left are faults of theirs.
fn fault(error: &PyErr) -> TaskError {
    TaskError::for_ever(error)
}

impl ForeignRunner for PyRunner {
    fn enter_thread(&self, run: &mut (dyn FnMut() + Send)) {
        // The thread is attached throughout, so that each call within is but a lock.
        Python::attach(|py| py.detach(run));
    }

    fn prepare(&self, encoded: &[u8]) -> Result<(), TaskError> {
        Python::attach(|py| self.prepare.call1(py, (PyBytes::new(py, encoded),)).map(drop))
            .map_err(|error| fault(&error))
    }

    fn load(&self, encoded: &[u8]) -> Result<Box<dyn ForeignFunction>, TaskError> {
        let run = Python::attach(|py| self.load.call1(py, (PyBytes::new(py, encoded),)));
        let run = run.map_err(|error| fault(&error))?;
        Ok(Box::new(PyFunction { run, killed: self.killed.clone() }))
    }

    fn kill(&self, attempt: u64) {
        let kill = self.kill.clone();
        // The interpreter may be busy, and the link must not wait for it. Without a thread the call
        // goes on to its end.
        let _ = std::thread::Builder::new().name("kill".into()).spawn(move || {
            Python::attach(|py| {
                if let Err(error) = kill.call1(py, (attempt,)) {
                    error.write_unraisable(py, None);
                }
            });
        });
    }
}

impl ForeignFunction for PyFunction {
    fn call(&self, context: &TaskContext, argument: &[u8]) -> Result<Vec<u8>, TaskError> {
        Python::attach(|py| {
            let argument = PyBytes::new(py, argument);
            loop {
                match self.run.bind(py).call1((context.attempt(), &argument)) {
                    Ok(result) => {
                        let result = result.cast::<PyBytes>().map_err(|error| fault(&error.into()))?;
                        return Ok(result.as_bytes().to_vec());
                    }
                    // It was meant for the attempt before, which ended first: nothing has begun.
                    Err(error) if error.is_instance(py, self.killed.bind(py)) && !context.is_killed() => {}
                    Err(error) => return Err(fault(&error)),
                }
            }
        })
    }
}

/// Runs this process as an executor until its driver wants nothing more. Gives its exit code.
#[pyfunction]
pub(crate) fn run_executor(
    py: Python<'_>,
    prepare: Py<PyAny>,
    load: Py<PyAny>,
    kill: Py<PyAny>,
    killed: Py<PyAny>,
    library: PathBuf,
    interpreter: &str,
) -> PyResult<u8> {
    let build = ForeignBuild::of_library(&library, interpreter);
    let build = build.map_err(|error| PyOSError::new_err(format!("{}: {error}", library.display())))?;
    let runner = Arc::new(PyRunner { prepare, load, kill: Arc::new(kill), killed: Arc::new(killed) });
    Ok(py.detach(|| serve(build, runner)))
}
