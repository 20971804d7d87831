//! Streams of a master, message by message.

use std::sync::Arc;

use muster_client::{EventWatch, LogRead};
use pyo3::prelude::*;
use tokio::sync::Mutex;

use crate::answer::{Call, start};
use crate::json::to_json;

/// Events, in order, through failovers.
#[pyclass(frozen, module = "muster._native", name = "EventStream")]
pub(crate) struct PyEventStream(Arc<Mutex<EventWatch>>);

/// A log, chunk by chunk, through failovers.
#[pyclass(frozen, module = "muster._native", name = "LogStream")]
pub(crate) struct PyLogStream(Arc<Mutex<LogRead>>);

impl PyEventStream {
    pub(crate) fn new(watch: EventWatch) -> PyEventStream {
        PyEventStream(Arc::new(Mutex::new(watch)))
    }
}

impl PyLogStream {
    pub(crate) fn new(log: LogRead) -> PyLogStream {
        PyLogStream(Arc::new(Mutex::new(log)))
    }
}

#[pymethods]
impl PyEventStream {
    /// Opens the stream, so that whatever happens after the answer is seen.
    fn open(&self, done: Py<PyAny>) -> PyResult<Call> {
        let watch = self.0.clone();
        start(done, async move {
            watch.lock().await.open().await?;
            Ok(())
        })
    }

    /// The next event.
    fn next(&self, done: Py<PyAny>) -> PyResult<Call> {
        let watch = self.0.clone();
        start(done, async move {
            let event = watch.lock().await.next().await?;
            Ok(Some(to_json("Event", &event)?))
        })
    }
}

#[pymethods]
impl PyLogStream {
    /// The next chunk; None at the end of the log.
    fn next(&self, done: Py<PyAny>) -> PyResult<Call> {
        let log = self.0.clone();
        start(done, async move {
            let chunk = log.lock().await.next().await?;
            Ok(chunk.map(|chunk| to_json("LogChunk", &chunk)).transpose()?)
        })
    }
}
