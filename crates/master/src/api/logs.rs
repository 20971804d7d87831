//! `ReadLog`, which is passed on to the worker that has the log.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use muster_proto::errors::{Failure, reason_of};
use muster_proto::flow_control::Windows;
use muster_proto::v1;
use muster_proto::v1::worker_service_client::WorkerServiceClient;
use muster_proto::v1::worker_service_read_log_request::Subject;
use muster_proto::validate::{self, ReadLogOf};
use muster_tls::{Connector, Trust};
use muster_types::{AttemptKey, AttemptNumber, Caller, ExecutorId, WorkerName, WorkerRecord, WorkerUid};
use tokio_stream::{Stream, StreamExt};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::owned;
use crate::leader::LeaderContext;

/// The number of connections to workers that are kept for further reads.
const KEPT: usize = 64;
/// A worker that accepts no connection within this time counts as unreachable.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// The interval and the timeout of pings to a worker. A worker that is gone or stopped is noticed
/// after both: a reader that follows a log gets an error, and the next read dials again.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

pub(crate) type LogStream = Pin<Box<dyn Stream<Item = Result<v1::ReadLogResponse, Status>> + Send>>;

/// A worker as it is dialled: its address, and its uid where it serves over TLS.
type Source = (String, Option<WorkerUid>);

/// Connections to workers, the most recently used last.
#[derive(Debug)]
pub(crate) struct LogSources {
    /// The workers that are trusted, shown this master's certificate; none without TLS.
    trust: Option<Trust>,
    channels: Mutex<VecDeque<(Source, Channel)>>,
}

impl LogSources {
    pub(crate) fn new(trust: Option<Trust>) -> LogSources {
        LogSources { trust, channels: Mutex::default() }
    }

    /// The connection to a worker, which is made when it is first used. One that has shown a
    /// certificate serves over TLS.
    fn channel(&self, worker: &WorkerRecord) -> Result<Channel, tonic::transport::Error> {
        let trust = self.trust.clone().filter(|_| worker.key.is_some());
        let source = (worker.address.clone(), trust.as_ref().map(|_| worker.uid));
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let known = channels.iter().position(|(known, _)| *known == source);
        let kept = match known.and_then(|index| channels.remove(index)) {
            Some(kept) => kept,
            None => {
                let endpoint = Endpoint::from_shared(format!("http://{}", worker.address))?;
                let connector = Connector::to_worker(trust, worker.uid, CONNECT_WITHIN);
                // All readers of a worker's logs share its connection, and some read slowly.
                let Windows { stream, connection } = Windows::OF_WORKER;
                let endpoint = endpoint.initial_stream_window_size(stream).initial_connection_window_size(connection);
                let endpoint = endpoint.http2_keep_alive_interval(KEEP_ALIVE).keep_alive_timeout(KEEP_ALIVE);
                (source, endpoint.connect_with_connector_lazy(connector))
            }
        };
        let channel = kept.1.clone();
        if channels.len() == KEPT {
            channels.pop_front();
        }
        channels.push_back(kept);
        Ok(channel)
    }
}

struct LogLocation {
    attempt: AttemptKey,
    worker: WorkerUid,
    worker_name: WorkerName,
}

pub(crate) async fn read(
    leading: &LeaderContext,
    caller: &Caller,
    sources: &LogSources,
    wire: v1::ReadLogRequest,
) -> Result<LogStream, Failure> {
    let validate::ReadLog { of, mut read } = validate::read_log(wire)?;
    let place = match of {
        ReadLogOf::Driver(id, attempt) => attempt_place(leading, caller, id, attempt)?,
        ReadLogOf::Executor(id, executor) => executor_place(leading, caller, id, executor)?,
    };
    let unreachable = |message: String| Failure::WorkerUnreachable { worker: place.worker_name.to_string(), message };
    let worker = leading.view.read().workers.get(place.worker.0).cloned();
    let worker = worker.ok_or_else(|| unreachable("it is no longer known".to_owned()))?;
    name_attempt(&mut read, place.attempt);
    let channel = sources.channel(&worker.record).map_err(|error| unreachable(error.to_string()))?;
    match WorkerServiceClient::new(channel).read_log(read).await {
        Ok(pieces) => {
            let pieces = pieces.into_inner().map(|chunk| chunk.map(|chunk| v1::ReadLogResponse { chunk: chunk.chunk }));
            Ok(Box::pin(pieces))
        }
        Err(status) if status.code() == Code::NotFound => {
            Err(Failure::NotFound { kind: "log", name: log_name(place.attempt) })
        }
        // A worker refuses a request with an error of the same table. Any other error is one of the
        // connection to the worker.
        Err(status) if reason_of(&status).is_some() && status.code() == Code::InvalidArgument => {
            Err(Failure::BadRequest(muster_proto::FieldViolations::of("offset", status.message())))
        }
        Err(status) => Err(unreachable(status.message().to_owned())),
    }
}

/// Names the attempt in the terms of the worker's service.
fn name_attempt(read: &mut v1::WorkerServiceReadLogRequest, attempt: AttemptKey) {
    match attempt {
        AttemptKey::Driver(uid, attempt) => {
            read.subject = Some(Subject::DriverUid(uid.to_string()));
            read.attempt = attempt.0;
        }
        AttemptKey::Executor(uid, executor) => {
            read.subject = Some(Subject::ApplicationUid(uid.to_string()));
            read.executor_id = Some(executor.0);
        }
    }
}

fn log_name(attempt: AttemptKey) -> String {
    match attempt {
        AttemptKey::Driver(uid, attempt) => format!("{uid}/{attempt}"),
        AttemptKey::Executor(uid, executor) => format!("{uid}/{executor}"),
    }
}

fn attempt_place(
    leading: &LeaderContext,
    caller: &Caller,
    id: String,
    wanted: Option<AttemptNumber>,
) -> Result<LogLocation, Failure> {
    let driver = leading.view.driver(&id).1;
    let driver = driver.ok_or_else(|| Failure::NotFound { kind: "driver", name: id.clone() })?;
    owned::check(caller, driver.record.owner.as_deref(), "driver", &id)?;
    let attempts = &driver.record.attempts;
    let attempt = match wanted {
        None => attempts.last(),
        Some(number) => attempts.iter().find(|attempt| attempt.number == number),
    };
    let attempt = attempt.ok_or_else(|| match wanted {
        None => {
            Failure::WrongState { subject: format!("driver {id}"), message: "it has not been started yet".to_owned() }
        }
        Some(number) => Failure::NotFound { kind: "log", name: format!("{id}/{number}") },
    })?;
    Ok(LogLocation {
        attempt: AttemptKey::Driver(driver.record.uid, attempt.number),
        worker: attempt.worker,
        worker_name: attempt.worker_name.clone(),
    })
}

fn executor_place(
    leading: &LeaderContext,
    caller: &Caller,
    id: String,
    executor: ExecutorId,
) -> Result<LogLocation, Failure> {
    let application = leading.view.application(&id).1;
    let application = application.ok_or_else(|| Failure::NotFound { kind: "application", name: id.clone() })?;
    owned::check(caller, application.record.owner.as_deref(), "application", &id)?;
    let shown = leading.view.executor(application.record.uid, executor);
    let shown = shown.ok_or_else(|| Failure::NotFound { kind: "executor", name: format!("{id}/{executor}") })?;
    Ok(LogLocation {
        attempt: AttemptKey::Executor(application.record.uid, executor),
        worker: shown.record.worker,
        worker_name: shown.record.worker_name.clone(),
    })
}
