//! The handle of an application, and its session.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use muster_client::v1;
use muster_sdk::{Application as Handle, ApplicationSession as Session, Context, SessionEvent};
use pyo3::prelude::*;
use tokio::sync::Mutex;

use crate::answer::{Call, start};
use crate::failure::CallFailure;
use crate::json::{from_json, to_json};
use crate::runtime;

/// A registered application.
#[pyclass(frozen, module = "muster._native", name = "Application")]
pub(crate) struct PyApplication(Handle);

/// The stream on which an application hears of its executors. The application's grace begins once
/// nobody holds this.
#[pyclass(frozen, module = "muster._native", name = "ApplicationSession")]
pub(crate) struct PyApplicationSession(Arc<Mutex<Session>>);

/// Registers an application. An empty name lets the master make one.
pub(crate) async fn register(context: Context, name: String, spec: String) -> Result<PyApplication, CallFailure> {
    let spec: v1::ApplicationSpec = from_json("ApplicationSpec", &spec)?;
    Ok(PyApplication(Handle::register_as(&context, name, spec).await?))
}

#[pymethods]
impl PyApplication {
    /// Its name, for people.
    #[getter]
    fn name(&self) -> &str {
        self.0.name()
    }

    /// Its uid.
    #[getter]
    fn uid(&self) -> &str {
        self.0.uid()
    }

    /// Opens the session that keeps the application alive.
    fn open_session(&self) -> PyResult<PyApplicationSession> {
        let runtime = runtime::handle()?;
        let _entered = runtime.enter();
        Ok(PyApplicationSession(Arc::new(Mutex::new(self.0.open_session()))))
    }

    /// Sets totals: a list of ProfileTarget, and the hosts on which nothing new is placed. Gives
    /// whether the master knew no later request.
    fn request_targets(&self, targets: Vec<String>, excluded_hosts: Vec<String>, done: Py<PyAny>) -> PyResult<Call> {
        let handle = self.0.clone();
        start(done, async move {
            let targets: Result<Vec<v1::ProfileTarget>, _> =
                targets.iter().map(|target| from_json("ProfileTarget", target)).collect();
            Ok(handle.request_targets(targets?, excluded_hosts).await?)
        })
    }

    /// Ends executors. Gives what became of each: `killed`, `unknown` or `gone`, by its number.
    fn kill_executors(&self, executors: Vec<u32>, replace: bool, done: Py<PyAny>) -> PyResult<Call> {
        let handle = self.0.clone();
        start(done, async move {
            let results = handle.kill_executors(executors, replace).await?;
            let results = results.into_iter().map(|result| (result.executor_id, kind(&result)));
            Ok(results.collect::<BTreeMap<u32, &'static str>>())
        })
    }

    /// Ends the application, with time in seconds for its executors to end by themselves.
    fn unregister(&self, success: bool, message: String, grace: f64, done: Py<PyAny>) -> PyResult<Call> {
        let handle = self.0.clone();
        start(done, async move {
            let grace = Duration::try_from_secs_f64(grace).unwrap_or_default();
            Ok(handle.unregister_within(success, &message, grace).await?)
        })
    }
}

fn kind(result: &v1::kill_executors_response::Result) -> &'static str {
    use v1::kill_executors_response::result::Kind;
    match result.kind() {
        Kind::Killed => "killed",
        Kind::AlreadyGone => "gone",
        Kind::Unknown | Kind::Unspecified => "unknown",
    }
}

#[pymethods]
impl PyApplicationSession {
    /// The next item: `{"state": [executor…]}` or `{"event": event}`; None once the application has
    /// ended.
    fn next(&self, done: Py<PyAny>) -> PyResult<Call> {
        let session = self.0.clone();
        start(done, async move {
            match session.lock().await.next().await? {
                None => Ok(None),
                Some(SessionEvent::State(executors)) => {
                    let executors: Result<Vec<_>, _> =
                        executors.iter().map(|executor| to_json("Executor", executor)).collect();
                    Ok(Some(format!("{{\"state\":[{}]}}", executors?.join(","))))
                }
                Some(SessionEvent::Event(event)) => {
                    Ok(Some(format!("{{\"event\":{}}}", to_json("ApplicationSessionEvent", event.as_ref())?)))
                }
            }
        })
    }
}
