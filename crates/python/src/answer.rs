//! A call that runs, and the callback that gets its answer.

use std::future::Future;

use pyo3::IntoPyObjectExt as _;
use pyo3::prelude::*;
use tokio::task::AbortHandle;

use crate::failure::CallFailure;
use crate::runtime;

/// A call that runs. It goes on when nobody holds this.
#[pyclass(frozen, module = "muster._native")]
pub(crate) struct Call(AbortHandle);

#[pymethods]
impl Call {
    /// Gives the call up: its callback is not called any more. A mutation may have been done.
    fn abort(&self) {
        self.0.abort();
    }
}

/// Runs a call, and hands its end to `done`: `done(True, answer)`, or `done(False, failure)` with
/// the failure as JSON.
pub(crate) fn start<T>(
    done: Py<PyAny>,
    call: impl Future<Output = Result<T, CallFailure>> + Send + 'static,
) -> PyResult<Call>
where
    T: for<'py> IntoPyObject<'py> + Send + 'static,
{
    let task = runtime::handle()?.spawn(async move {
        let ended = call.await;
        // An interpreter that is ending takes no more answers.
        let _ = Python::try_attach(|py| {
            let handed_over = match ended {
                Ok(answer) => answer.into_py_any(py).and_then(|answer| done.call1(py, (true, answer))),
                Err(failure) => done.call1(py, (false, failure.to_json())),
            };
            if let Err(error) = handed_over {
                error.write_unraisable(py, None);
            }
            drop(done);
        });
    });
    Ok(Call(task.abort_handle()))
}
