//! Requests for streams: events and logs.

use std::fmt::Display;
use std::str::FromStr;

use muster_types::{ApplicationUid, AttemptKey, AttemptNumber, DriverUid, ExecutorId};

use super::checks::{count, existing_name, known};
use crate::{FieldViolations, Path, ResumeToken, v1};

/// The most objects that each list of a watch can name.
const MAX_NAMED: usize = 1024;

/// Where a watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchFrom {
    /// With the events from now on.
    Now,
    /// With the oldest event that is kept.
    Oldest,
    /// After this position.
    Token(ResumeToken),
}

/// A watch of events. With all lists empty it covers everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchEvents {
    /// Where to begin.
    pub from: WatchFrom,
    /// Names or uids of drivers.
    pub drivers: Vec<String>,
    /// Names or uids of applications, with their executors.
    pub applications: Vec<String>,
    /// Names or uids of workers.
    pub workers: Vec<String>,
}

/// Checks a watch.
pub fn watch_events(wire: v1::WatchEventsRequest) -> Result<WatchEvents, FieldViolations> {
    let mut violations = FieldViolations::new();
    let from = match (wire.resume_token.as_str(), wire.from_oldest) {
        ("", false) => WatchFrom::Now,
        ("", true) => WatchFrom::Oldest,
        (token, _) => match token.parse() {
            Ok(token) => WatchFrom::Token(token),
            Err(_) => {
                let message = "is not a token of this service; hand back the one that was answered, as it is";
                violations.add(&Path::root("resume_token"), message);
                WatchFrom::Now
            }
        },
    };
    let lists = [
        ("driver_ids", &wire.driver_ids),
        ("application_ids", &wire.application_ids),
        ("worker_ids", &wire.worker_ids),
    ];
    for (field, list) in lists {
        let path = Path::root(field);
        count(list.len(), MAX_NAMED, &path, &mut violations);
        for (index, name) in list.iter().enumerate().take(MAX_NAMED) {
            existing_name(name, &path.index(index), &mut violations);
        }
    }
    violations.unless_any(WatchEvents {
        from,
        drivers: wire.driver_ids,
        applications: wire.application_ids,
        workers: wire.worker_ids,
    })
}

/// The process whose log is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadLogOf {
    /// An attempt of a driver, by name or uid; `None` is the newest attempt.
    Driver(String, Option<AttemptNumber>),
    /// An executor of an application, which is given by name or uid.
    Executor(String, ExecutorId),
}

/// A read of a log through the master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadLog {
    /// The process.
    pub of: ReadLogOf,
    /// The part of the log to read; the master fills in `subject`, `attempt` and `executor_id`.
    pub read: v1::WorkerServiceReadLogRequest,
}

/// Checks a read through the master.
pub fn read_log(wire: v1::ReadLogRequest) -> Result<ReadLog, FieldViolations> {
    let mut violations = FieldViolations::new();
    known::<v1::LogStream>(wire.stream, "STDOUT or STDERR", &Path::root("stream"), &mut violations);
    check_start(wire.offset.is_some(), wire.tail_bytes, &mut violations);
    let of = read_log_of(wire.subject, wire.attempt, wire.executor_id, &mut violations);
    let read = v1::WorkerServiceReadLogRequest {
        stream: wire.stream,
        offset: wire.offset,
        tail_bytes: wire.tail_bytes,
        follow: wire.follow,
        ..Default::default()
    };
    match of {
        Some(of) => violations.unless_any(ReadLog { of, read }),
        None => Err(violations),
    }
}

/// The process whose log a request names. `None` when the request names none or is ambiguous, which
/// is then among the violations.
fn read_log_of(
    subject: Option<v1::read_log_request::Subject>,
    attempt: u32,
    executor: Option<u32>,
    violations: &mut FieldViolations,
) -> Option<ReadLogOf> {
    use v1::read_log_request::Subject;
    match subject {
        Some(Subject::DriverId(driver)) => {
            existing_name(&driver, &Path::root("driver_id"), violations);
            no_executor(executor, violations);
            Some(ReadLogOf::Driver(driver, Some(attempt).filter(|attempt| *attempt > 0).map(AttemptNumber)))
        }
        Some(Subject::ApplicationId(application)) => {
            existing_name(&application, &Path::root("application_id"), violations);
            one_executor(executor, attempt, violations).map(|executor| ReadLogOf::Executor(application, executor))
        }
        None => {
            violations.add(&Path::root("driver_id"), "is required: this, or application_id with executor_id");
            None
        }
    }
}

/// Checks that a request about a driver names no executor.
fn no_executor(executor: Option<u32>, violations: &mut FieldViolations) {
    if executor.is_some() {
        violations.add(&Path::root("executor_id"), "is of an application; leave it away beside a driver");
    }
}

/// Checks that a request about an application names an executor and no attempt, which executors do
/// not have.
fn one_executor(executor: Option<u32>, attempt: u32, violations: &mut FieldViolations) -> Option<ExecutorId> {
    if attempt > 0 {
        violations.add(&Path::root("attempt"), "is of a driver; leave it 0 beside an application");
    }
    if executor.is_none() {
        violations.add(&Path::root("executor_id"), "is required beside an application");
    }
    executor.map(ExecutorId)
}

/// A read of a log at its worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadWorkerLog {
    /// The attempt.
    pub attempt: AttemptKey,
    /// Whether to read standard error instead of standard output.
    pub stderr: bool,
    /// Where to begin: (truncations, byte); `None` at the start.
    pub offset: Option<(u64, u64)>,
    /// Begin this many bytes before the end instead.
    pub tail: Option<u64>,
    /// Go on until the process has ended.
    pub follow: bool,
}

/// Checks a read at a worker.
pub fn read_worker_log(wire: v1::WorkerServiceReadLogRequest) -> Result<ReadWorkerLog, FieldViolations> {
    let mut violations = FieldViolations::new();
    let stream = known::<v1::LogStream>(wire.stream, "STDOUT or STDERR", &Path::root("stream"), &mut violations);
    check_start(wire.offset.is_some(), wire.tail_bytes, &mut violations);
    let attempt = worker_log_of(wire.subject, wire.attempt, wire.executor_id, &mut violations);
    let Some(attempt) = attempt else { return Err(violations) };
    violations.unless_any(ReadWorkerLog {
        attempt,
        stderr: stream == Some(v1::LogStream::Stderr),
        offset: wire.offset.map(|offset| (offset.truncations, offset.byte)),
        tail: Some(wire.tail_bytes).filter(|tail| *tail > 0),
        follow: wire.follow,
    })
}

/// The attempt whose log a request names. `None` when it names none, which is then among the
/// violations.
fn worker_log_of(
    subject: Option<v1::worker_service_read_log_request::Subject>,
    attempt: u32,
    executor: Option<u32>,
    violations: &mut FieldViolations,
) -> Option<AttemptKey> {
    use v1::worker_service_read_log_request::Subject;
    match subject {
        Some(Subject::DriverUid(uid)) => {
            no_executor(executor, violations);
            if attempt == 0 {
                violations.add(&Path::root("attempt"), "is required beside a driver; attempts count from 1");
            }
            let uid = parsed::<DriverUid>(&uid, "driver_uid", violations)?;
            Some(AttemptKey::Driver(uid, AttemptNumber(attempt)))
        }
        Some(Subject::ApplicationUid(uid)) => {
            let executor = one_executor(executor, attempt, violations);
            let uid = parsed::<ApplicationUid>(&uid, "application_uid", violations)?;
            Some(AttemptKey::Executor(uid, executor?))
        }
        None => {
            violations.add(&Path::root("driver_uid"), "is required: this, or application_uid with executor_id");
            None
        }
    }
}

fn parsed<T: FromStr<Err: Display>>(text: &str, field: &str, violations: &mut FieldViolations) -> Option<T> {
    text.parse().map_err(|error: T::Err| violations.add(&Path::root(field), error.to_string())).ok()
}

fn check_start(offset: bool, tail: u64, violations: &mut FieldViolations) {
    if offset && tail > 0 {
        violations.add(&Path::root("tail_bytes"), "is set beside offset; give one");
    }
}
