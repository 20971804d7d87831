//! A cluster, as Python reaches it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use muster_client::{
    BearerToken, Client, ClusterContext, ConnectOptions, Contexts, MasterAddresses, OwnCertificate, Trust, v1,
};
use muster_sdk::Context;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::answer::{Call, start};
use crate::failure::with_causes;
use crate::json::from_json;
use crate::streams::{PyEventStream, PyLogStream};
use crate::tasks::TasksRequest;
use crate::{application, calls, tasks};

/// A handle to a cluster. Connections come up when they are first needed.
#[pyclass(frozen, module = "muster._native", name = "Connection")]
pub(crate) struct PyConnection {
    context: Context,
    client: Client,
}

/// What is said in the program; the environment and the context of `muster login` say the rest.
struct ConnectionArguments {
    masters: Option<String>,
    ca_file: Option<PathBuf>,
    token: Option<String>,
    client_certificate: Option<(PathBuf, PathBuf)>,
    context: Option<String>,
}

/// An argument or a variable that makes no sense.
fn wrong(what: &str, error: &dyn std::error::Error) -> PyErr {
    PyValueError::new_err(format!("{what}: {}", with_causes(error)))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

impl ConnectionArguments {
    /// Where calls go, in the order of precedence of the command line: what is said, the
    /// environment, the context.
    fn resolve(self) -> PyResult<Context> {
        let mut context = Context::from_env().map_err(|error| wrong("the environment", &error))?;
        let contexts = self.contexts()?;
        let remembered = self.remembered(&contexts)?;
        let masters = match (&self.masters, variable("MUSTER_MASTER"), remembered) {
            (Some(masters), _, _) => Some(masters.parse::<MasterAddresses>()),
            (None, None, Some(remembered)) => Some(remembered.masters.parse()),
            (None, _, _) => None,
        };
        if let Some(masters) = masters.transpose().map_err(|error| wrong("masters", &error))? {
            if masters != context.masters {
                // Another cluster is shown nothing of the attempt that this process is.
                context.token = None;
            }
            context.masters = masters;
        }
        let is_certificate_given = self.client_certificate.is_some() || variable("MUSTER_CLIENT_CERT").is_some();
        if let Some(file) = &self.ca_file {
            context.trust = Some(Trust::named(file).map_err(|error| wrong("ca_file", &error))?);
        } else if let (None, Some(remembered)) = (&context.trust, remembered) {
            context.trust = Some(remembered.trust().map_err(|error| wrong("the CA of the context", &error))?);
        }
        let remembered_certificate = remembered
            .filter(|_| !is_certificate_given)
            .and_then(|remembered| remembered.client_cert.clone().zip(remembered.client_key.clone()));
        if let (Some((certificate, key)), Some(trust)) =
            (self.client_certificate.or(remembered_certificate), &context.trust)
        {
            let own = OwnCertificate::open(certificate, key).map_err(|error| wrong("client_cert", &error))?;
            context.trust = Some(trust.showing_own(Arc::new(own)));
        }
        let token = match (self.token, &context.bearer, remembered) {
            (Some(token), _, _) => Some(token),
            // A token would speak before a certificate that was given.
            (None, None, Some(remembered)) if !is_certificate_given => remembered.token.clone(),
            (None, _, _) => None,
        };
        if let Some(token) = token {
            context.bearer = Some(BearerToken::new(&token).map_err(|error| wrong("token", &error))?);
        }
        Ok(context)
    }

    /// The contexts. Those that cannot be read keep nobody from a master that is named.
    fn contexts(&self) -> PyResult<Contexts> {
        let is_named = self.masters.is_some() || variable("MUSTER_MASTER").is_some();
        match Contexts::load() {
            Ok(contexts) => Ok(contexts),
            Err(_) if is_named && self.context.is_none() => Ok(Contexts::default()),
            Err(error) => Err(wrong("the contexts", &error)),
        }
    }

    fn remembered<'a>(&self, contexts: &'a Contexts) -> PyResult<Option<&'a ClusterContext>> {
        let name = self.context.clone().or_else(|| variable("MUSTER_CONTEXT"));
        let masters = self.masters.clone().or_else(|| variable("MUSTER_MASTER"));
        contexts.choose(name.as_deref(), masters.as_deref()).map_err(|error| wrong("context", &error))
    }
}

#[pymethods]
impl PyConnection {
    /// `deadline` in seconds bounds each call with all its tries.
    #[new]
    #[pyo3(signature = (masters, ca_file, token, client_cert, client_key, context, deadline))]
    fn new(
        masters: Option<String>,
        ca_file: Option<PathBuf>,
        token: Option<String>,
        client_cert: Option<PathBuf>,
        client_key: Option<PathBuf>,
        context: Option<String>,
        deadline: Option<f64>,
    ) -> PyResult<PyConnection> {
        let client_certificate = match (client_cert, client_key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(PyValueError::new_err("client_cert and client_key go together")),
        };
        let arguments = ConnectionArguments { masters, ca_file, token, client_certificate, context };
        let context = arguments.resolve()?;
        let deadline = match deadline {
            None => ConnectOptions::default().deadline,
            Some(seconds) => Duration::try_from_secs_f64(seconds).map_err(|error| wrong("deadline", &error))?,
        };
        let client = context.client().with_deadline(deadline);
        Ok(PyConnection { context, client })
    }

    /// The addresses of the masters, with commas between.
    #[getter]
    fn masters(&self) -> String {
        self.context.masters.to_string()
    }

    /// Whether connections are over TLS.
    #[getter]
    fn is_secure(&self) -> bool {
        self.context.trust.is_some()
    }

    /// Makes a call. Its request and its answer are JSON.
    fn call(&self, method: String, request: String, done: Py<PyAny>) -> PyResult<Call> {
        let client = self.client.clone();
        start(done, async move { calls::call(&client, &method, &request).await })
    }

    /// Waits for a driver's end, at most `timeout` seconds.
    #[pyo3(signature = (driver, timeout, done))]
    fn wait(&self, driver: String, timeout: Option<f64>, done: Py<PyAny>) -> PyResult<Call> {
        let timeout = timeout.map(Duration::try_from_secs_f64).transpose().map_err(|error| wrong("timeout", &error))?;
        let client = self.client.clone();
        start(done, async move { calls::wait(&client, &driver, timeout).await })
    }

    /// Events from where the request says.
    fn watch_events(&self, request: &str) -> PyResult<PyEventStream> {
        let request: v1::WatchEventsRequest =
            from_json("WatchEventsRequest", request).map_err(|error| wrong("watch", &error))?;
        Ok(PyEventStream::new(self.client.watch_events(request)))
    }

    /// A log from where the request says.
    fn read_log(&self, request: &str) -> PyResult<PyLogStream> {
        let request: v1::ReadLogRequest =
            from_json("ReadLogRequest", request).map_err(|error| wrong("logs", &error))?;
        Ok(PyLogStream::new(self.client.read_log(request)))
    }

    /// Registers an application whose executors run tasks, and starts its driver's side. Executors
    /// reach it at `host`. The rest is said at [`TasksRequest`].
    #[expect(clippy::too_many_arguments, reason = "the package alone calls it")]
    fn start_tasks(
        &self,
        name: String,
        spec: String,
        setup: Vec<u8>,
        host: String,
        library: PathBuf,
        interpreter: String,
        done: Py<PyAny>,
    ) -> PyResult<Call> {
        let context = Context { host, ..self.context.clone() };
        start(done, tasks::start_tasks(context, TasksRequest { name, spec, setup, library, interpreter }))
    }

    /// Registers an application. An empty name lets the master make one.
    fn register(&self, name: String, spec: String, done: Py<PyAny>) -> PyResult<Call> {
        let context = self.context.clone();
        start(done, application::register(context, name, spec))
    }
}
