//! Requests for streams: events and logs.

use muster_types::{AttemptNumber, ExecutorId};

use super::checks::{count, existing_name, known};
use crate::{FieldViolations, Path, ResumeToken, v1};

/// Things that one watch can name.
const MAX_NAMED: usize = 1024;

/// Where a watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchFrom {
    /// With what happens from now on.
    Now,
    /// With the oldest event that is kept.
    Oldest,
    /// After this.
    Token(ResumeToken),
}

/// Follow events. All lists empty: everything.
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
    let lists =
        [("driver_ids", &wire.driver_ids), ("application_ids", &wire.application_ids), ("workers", &wire.workers)];
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
        workers: wire.workers,
    })
}

/// Whose log is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadLogOf {
    /// An attempt of a driver; `None` is the newest.
    Attempt(Option<AttemptNumber>),
    /// An executor of an application.
    Executor(ExecutorId),
}

/// Read a log through the master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadLog {
    /// Name or uid of the driver or application.
    pub id: String,
    /// Which of its processes.
    pub of: ReadLogOf,
    /// What of it; its `uid`, `attempt` and `executor` are for the master to fill in.
    pub read: v1::WorkerServiceReadLogRequest,
}

/// Checks a read through the master.
pub fn read_log(wire: v1::ReadLogRequest) -> Result<ReadLog, FieldViolations> {
    let mut violations = FieldViolations::new();
    existing_name(&wire.id, &Path::root("id"), &mut violations);
    known::<v1::LogStream>(wire.stream, "STDOUT or STDERR", &Path::root("stream"), &mut violations);
    check_start(wire.offset.is_some(), wire.tail_bytes, &mut violations);
    let of = match (wire.executor_id, wire.attempt) {
        (Some(executor), 0) => ReadLogOf::Executor(ExecutorId(executor)),
        (Some(executor), _) => {
            violations.add(&Path::root("attempt"), "an executor has one attempt; leave it 0 beside executor_id");
            ReadLogOf::Executor(ExecutorId(executor))
        }
        (None, 0) => ReadLogOf::Attempt(None),
        (None, attempt) => ReadLogOf::Attempt(Some(AttemptNumber(attempt))),
    };
    let read = v1::WorkerServiceReadLogRequest {
        stream: wire.stream,
        offset: wire.offset,
        tail_bytes: wire.tail_bytes,
        follow: wire.follow,
        ..Default::default()
    };
    violations.unless_any(ReadLog { id: wire.id, of, read })
}

/// Read a log at its worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadWorkerLog {
    /// Which attempt.
    pub attempt: muster_types::AttemptKey,
    /// Standard error; else standard output.
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
    use muster_types::{ApplicationUid, AttemptKey, DriverUid};
    let mut violations = FieldViolations::new();
    let stream = known::<v1::LogStream>(wire.stream, "STDOUT or STDERR", &Path::root("stream"), &mut violations);
    check_start(wire.offset.is_some(), wire.tail_bytes, &mut violations);
    let key = if wire.executor {
        wire.uid.parse::<ApplicationUid>().map(|uid| AttemptKey::Executor(uid, ExecutorId(wire.attempt)))
    } else {
        wire.uid.parse::<DriverUid>().map(|uid| AttemptKey::Driver(uid, AttemptNumber(wire.attempt)))
    };
    let attempt = match key {
        Ok(attempt) => attempt,
        Err(error) => {
            violations.add(&Path::root("uid"), error.to_string());
            return Err(violations);
        }
    };
    violations.unless_any(ReadWorkerLog {
        attempt,
        stderr: stream == Some(v1::LogStream::Stderr),
        offset: wire.offset.map(|offset| (offset.truncations, offset.byte)),
        tail: Some(wire.tail_bytes).filter(|tail| *tail > 0),
        follow: wire.follow,
    })
}

fn check_start(offset: bool, tail: u64, violations: &mut FieldViolations) {
    if offset && tail > 0 {
        violations.add(&Path::root("tail_bytes"), "is set beside offset; give one");
    }
}
