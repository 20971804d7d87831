//! The failures that a caller can meet, and the status of each.

use std::collections::HashMap;
use std::time::Duration;

use muster_types::{Epoch, PendingReason};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{DOMAIN, reason};
use crate::FieldViolations;
use crate::render::pending_sentence;
use crate::text::{excerpt, shorten};

/// Why a request was not answered as asked. Every handler makes its statuses from this enum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// This master does not lead and cannot forward. Nothing was done.
    NotLeader {
        /// Address of the leader, if known.
        leader: Option<String>,
        /// Its epoch, if known.
        epoch: Option<Epoch>,
    },
    /// Nobody leads at present. Nothing was done.
    NoLeader,
    /// The store went back in time: no master acts on it until an operator confirms it. Nothing was
    /// done.
    StoreRestored,
    /// A stale epoch, attempt or session.
    Fenced {
        /// The present one, for people.
        have: String,
        /// What the caller holds, for people.
        got: String,
    },
    /// The request does not suit the state.
    WrongState {
        /// What it is about, for people.
        subject: String,
        /// Why not, for people.
        message: String,
    },
    /// The record has another etag.
    EtagMismatch {
        /// The caller's.
        wanted: String,
        /// The record's.
        found: String,
    },
    /// The request id was used for another body.
    RequestIdReused,
    /// The request id is older than what is kept.
    RequestIdExpired,
    /// A library repeated a mutation that has neither a request id nor a chosen name.
    RetryWithoutRequestId,
    /// The store is full; reads and running work go on.
    StoreFull,
    /// The name is taken.
    AlreadyExists {
        /// `driver`, `application`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// Nothing has that name.
    NotFound {
        /// `driver`, `application`, `executor`, `worker`, `log`.
        kind: &'static str,
        /// What was asked for.
        name: String,
    },
    /// Fields are wrong: all of them at once.
    BadRequest(FieldViolations),
    /// A server on loopback is called by a name that is not its own, or by a browser.
    ForeignHost {
        /// What called, for people.
        host: String,
    },
    /// The call carries no credential, and the master asks for one.
    NoCredential,
    /// The credential is unknown, malformed, revoked or no longer valid.
    BadCredential {
        /// What is wrong with it, for people; holds nothing of it.
        message: String,
    },
    /// The credential is valid no longer.
    CredentialExpired {
        /// Which, for people.
        credential: String,
    },
    /// The caller is known, and may not do this.
    RoleRequired {
        /// The caller, for people.
        caller: String,
        /// Who may, for people.
        needed: String,
    },
    /// Another key is recorded for a worker.
    KeyMismatch {
        /// The worker's uid.
        worker: String,
    },
    /// A worker's key was revoked, or the worker forgotten.
    Revoked {
        /// The worker's uid.
        worker: String,
    },
    /// The caller may do this to what is its own, and this is another's.
    NotOwner {
        /// The caller, for people.
        caller: String,
        /// `driver`, `application`, `log`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A part of the request is larger than the limit; nothing was done.
    TooLarge {
        /// Which part, for people.
        what: &'static str,
        /// The limit in bytes.
        limit: usize,
    },
    /// A queue is full; nothing was done.
    QueueFull {
        /// What is full, for people.
        what: String,
    },
    /// The caller asks for more than one caller may; nothing was done.
    RateLimited {
        /// The caller, for people.
        caller: String,
        /// What is limited, for people.
        what: &'static str,
        /// When there is room again; `None`: once a call of it has ended.
        wait: Option<Duration>,
    },
    /// A watch asks for events that are compacted, of another generation, or in the future.
    Compacted {
        /// Token of the oldest event that is kept.
        oldest: String,
        /// Token of now.
        current: String,
    },
    /// A watcher reads too slowly.
    WatcherTooSlow {
        /// Resume from here.
        resume_token: String,
    },
    /// The store did not answer, so the change may have been made. Repeat the call with the same
    /// request id.
    OutcomeUnknown {
        /// For people.
        message: String,
    },
    /// With validate only: no worker known could take it even if it were empty.
    NeverFits(Box<PendingReason>),
    /// The caller gave up, or its deadline passed, before the request was queued. Nothing was done.
    NotQueued,
    /// The handling of the input failed within the server; it is refused for a while.
    InputFailed,
    /// A worker cannot be reached for a read.
    WorkerUnreachable {
        /// Its name.
        worker: String,
        /// For people.
        message: String,
    },
    /// The server goes away; the stream can be opened anew elsewhere.
    GoingAway,
    /// A fault of the server that is none of the above.
    Internal {
        /// For people; holds nothing of the request.
        message: String,
    },
}

/// The suggested delay while no leader is reached: a leader that steps down or dies is succeeded
/// within a few times this.
const RETRY_LEADER: Duration = Duration::from_millis(50);
/// The suggested delay for a full queue, which drains within a commit or two.
const RETRY_QUEUE: Duration = Duration::from_millis(200);
/// The suggested delay for a full or restored store, on which somebody has to act first.
const RETRY_ROOM: Duration = Duration::from_secs(10);

/// One row of the table: the code, the stable word, and the message for people.
struct ErrorRow {
    code: Code,
    reason: &'static str,
    message: String,
}

fn row(code: Code, reason: &'static str, message: impl Into<String>) -> ErrorRow {
    ErrorRow { code, reason, message: message.into() }
}

impl Failure {
    fn row(&self) -> ErrorRow {
        use Failure as F;
        match self {
            F::NotLeader { leader: Some(leader), .. } => {
                row(Code::Unavailable, reason::NOT_LEADER, format!("this master does not lead; {leader} does"))
            }
            F::NotLeader { leader: None, .. } => {
                row(Code::Unavailable, reason::NOT_LEADER, "this master does not lead")
            }
            F::NoLeader => row(Code::Unavailable, reason::NO_LEADER, "no master leads at present"),
            F::StoreRestored => row(
                Code::Unavailable,
                reason::STORE_RESTORED,
                "the store was restored from the past; nothing is done until an operator runs `muster-master recover`",
            ),
            F::Fenced { have, got } => row(
                Code::FailedPrecondition,
                reason::FENCED,
                format!("{got} is no longer current: {have}; another copy may be running"),
            ),
            F::WrongState { subject, message } => {
                row(Code::FailedPrecondition, reason::WRONG_STATE, format!("{subject}: {message}"))
            }
            F::EtagMismatch { .. } => {
                row(Code::Aborted, reason::ETAG_MISMATCH, "the record has changed: read it again")
            }
            F::RequestIdReused => row(
                Code::InvalidArgument,
                reason::REQUEST_ID_REUSED,
                "this request_id was used for another request; choose a new one",
            ),
            F::RequestIdExpired => row(
                Code::FailedPrecondition,
                reason::REQUEST_ID_EXPIRED,
                "this request_id is older than what is kept: whether it was done cannot be told; look before asking anew",
            ),
            F::RetryWithoutRequestId => row(
                Code::Aborted,
                reason::RETRY_WITHOUT_REQUEST_ID,
                "this is a repeated try without request_id or chosen name, which could do it twice; send one",
            ),
            F::StoreFull => row(
                Code::ResourceExhausted,
                reason::STORE_FULL,
                "the store is full; what runs goes on, and nothing new is taken",
            ),
            F::AlreadyExists { kind, name } => {
                row(Code::AlreadyExists, reason::ALREADY_EXISTS, format!("{kind} {name:?} exists"))
            }
            F::NotFound { kind, name } => row(Code::NotFound, reason::NOT_FOUND, format!("no {kind} {name:?}")),
            F::BadRequest(violations) => row(Code::InvalidArgument, reason::BAD_REQUEST, violations.to_string()),
            F::ForeignHost { host } => row(
                Code::PermissionDenied,
                reason::FOREIGN_HOST,
                format!("this server listens on loopback and is not called by {host}: use localhost or its address"),
            ),
            F::NoCredential => row(
                Code::Unauthenticated,
                reason::NO_CREDENTIAL,
                "this cluster asks for a credential: log in with `muster login`, give --token-file, or send \
                 `authorization: Bearer TOKEN`",
            ),
            F::BadCredential { message } => row(Code::Unauthenticated, reason::BAD_CREDENTIAL, message),
            F::CredentialExpired { credential } => row(
                Code::Unauthenticated,
                reason::CREDENTIAL_EXPIRED,
                format!("{credential} has expired, by this master's clock"),
            ),
            F::RoleRequired { caller, needed } => {
                row(Code::PermissionDenied, reason::ROLE_REQUIRED, format!("{caller} may not do this: {needed} may"))
            }
            F::KeyMismatch { worker } => row(
                Code::PermissionDenied,
                reason::KEY_MISMATCH,
                format!(
                    "another key is known for worker {worker}: start it with its own state directory; if that is lost, \
                     `muster worker revoke {worker}`, and start it with an empty one"
                ),
            ),
            F::Revoked { worker } => row(
                Code::PermissionDenied,
                reason::REVOKED,
                format!(
                    "the key of worker {worker} was revoked: once nothing of it runs, start it with an empty state directory"
                ),
            ),
            F::NotOwner { caller, kind, name } => row(
                Code::PermissionDenied,
                reason::NOT_OWNER,
                format!("{kind} {name:?} is not {caller}'s own: its owner and operators may do this"),
            ),
            F::TooLarge { what, limit } => {
                row(Code::ResourceExhausted, reason::TOO_LARGE, format!("{what} must be at most {limit} bytes"))
            }
            F::QueueFull { what } => row(Code::ResourceExhausted, reason::QUEUE_FULL, format!("{what} is full")),
            F::RateLimited { caller, what, .. } => {
                row(Code::ResourceExhausted, reason::RATE_LIMITED, format!("{caller} has reached its limit of {what}"))
            }
            F::Compacted { .. } => row(
                Code::OutOfRange,
                reason::COMPACTED,
                "the events from this resume_token are not kept; list anew and watch from the token of the list",
            ),
            F::WatcherTooSlow { .. } => row(
                Code::ResourceExhausted,
                reason::WATCHER_TOO_SLOW,
                "this watch reads too slowly; resume from the last token",
            ),
            F::OutcomeUnknown { message } => row(
                Code::Unknown,
                reason::OUTCOME_UNKNOWN,
                format!("{message}; it may have been done: ask again with the same request_id"),
            ),
            F::NeverFits(pending) => row(Code::FailedPrecondition, reason::NEVER_FITS, pending_sentence(pending)),
            F::NotQueued => {
                row(Code::DeadlineExceeded, reason::NOT_QUEUED, "given up before it was queued; nothing was done")
            }
            F::InputFailed => row(
                Code::Internal,
                reason::INPUT_FAILED,
                "the server failed on this request and refuses it for a while; please report it",
            ),
            F::WorkerUnreachable { worker, message } => row(
                Code::Unavailable,
                reason::WORKER_UNREACHABLE,
                format!("worker {worker} cannot be reached: {message}"),
            ),
            F::GoingAway => row(Code::Unavailable, reason::GOING_AWAY, "this server goes away; open the stream anew"),
            F::Internal { message } => row(Code::Internal, reason::INTERNAL, message),
        }
    }

    /// The stable word of this failure.
    pub fn reason(&self) -> &'static str {
        self.row().reason
    }

    /// `ErrorInfo.metadata`: what a program can use.
    fn metadata(&self) -> HashMap<String, String> {
        let mut metadata = HashMap::new();
        let mut put = |key: &str, value: &dyn ToString| {
            metadata.insert(key.to_owned(), excerpt(&value.to_string(), MAX_DETAIL_BYTES).to_owned());
        };
        match self {
            Failure::NotLeader { leader, epoch } => {
                if let Some(leader) = leader {
                    put("leader", leader);
                }
                if let Some(epoch) = epoch {
                    put("epoch", epoch);
                }
            }
            Failure::Fenced { have, got } => {
                put("have", have);
                put("got", got);
            }
            Failure::EtagMismatch { wanted, found } => {
                put("wanted", wanted);
                put("found", found);
            }
            Failure::Compacted { oldest, current } => {
                put("oldest", oldest);
                put("current", current);
            }
            Failure::TooLarge { limit, .. } => put("limit", limit),
            Failure::WatcherTooSlow { resume_token } => put("resume_token", resume_token),
            Failure::AlreadyExists { kind, name } | Failure::NotFound { kind, name } => {
                put("kind", kind);
                put("name", name);
            }
            Failure::WorkerUnreachable { worker, .. }
            | Failure::KeyMismatch { worker }
            | Failure::Revoked { worker } => {
                put("worker", worker);
            }
            Failure::ForeignHost { host } => put("host", host),
            Failure::RoleRequired { caller, needed } => {
                put("caller", caller);
                put("needed", needed);
            }
            Failure::NotOwner { caller, kind, name } => {
                put("caller", caller);
                put("kind", kind);
                put("name", name);
            }
            Failure::NeverFits(pending) => {
                if let Some((worker, lacks)) = &pending.nearest {
                    put("nearest_worker", worker);
                    put("nearest_message", lacks);
                }
            }
            Failure::NoLeader
            | Failure::NoCredential
            | Failure::BadCredential { .. }
            | Failure::CredentialExpired { .. }
            | Failure::StoreRestored
            | Failure::WrongState { .. }
            | Failure::RequestIdReused
            | Failure::RequestIdExpired
            | Failure::RetryWithoutRequestId
            | Failure::StoreFull
            | Failure::BadRequest(_)
            | Failure::QueueFull { .. }
            | Failure::RateLimited { .. }
            | Failure::OutcomeUnknown { .. }
            | Failure::NotQueued
            | Failure::InputFailed
            | Failure::GoingAway
            | Failure::Internal { .. } => {}
        }
        metadata
    }

    /// The details beside `ErrorInfo`.
    fn add_details(&self, details: &mut ErrorDetails) {
        match self {
            Failure::NotLeader { .. } | Failure::NoLeader | Failure::GoingAway => {
                details.set_retry_info(Some(RETRY_LEADER));
            }
            Failure::QueueFull { what } => {
                details.add_quota_failure_violation(excerpt(what, MAX_DETAIL_BYTES), "full");
                details.set_retry_info(Some(RETRY_QUEUE));
            }
            Failure::RateLimited { caller, what, wait } => {
                details.add_quota_failure_violation(excerpt(caller, MAX_DETAIL_BYTES), *what);
                details.set_retry_info(Some(wait.unwrap_or(RETRY_QUEUE)));
            }
            Failure::StoreFull | Failure::StoreRestored => {
                details.set_retry_info(Some(RETRY_ROOM));
            }
            Failure::WrongState { subject, message } => {
                let (subject, message) = (excerpt(subject, MAX_DETAIL_BYTES), excerpt(message, MAX_MESSAGE_BYTES));
                details.add_precondition_failure_violation(reason::WRONG_STATE, subject, message);
            }
            Failure::NeverFits(pending) => {
                for (cause, workers, message) in &pending.causes {
                    details.add_precondition_failure_violation(cause.as_str(), format!("{workers} workers"), message);
                }
            }
            Failure::AlreadyExists { kind, name } => {
                details.set_resource_info(format!("{DOMAIN}/{kind}"), excerpt(name, MAX_DETAIL_BYTES), "", "exists");
            }
            Failure::NotFound { kind, name } => {
                details.set_resource_info(format!("{DOMAIN}/{kind}"), excerpt(name, MAX_DETAIL_BYTES), "", "not found");
            }
            Failure::BadRequest(violations) => {
                for violation in violations.list() {
                    details.add_bad_request_violation(&violation.field, &violation.message);
                }
            }
            Failure::Fenced { .. }
            | Failure::EtagMismatch { .. }
            | Failure::ForeignHost { .. }
            | Failure::NoCredential
            | Failure::BadCredential { .. }
            | Failure::CredentialExpired { .. }
            | Failure::RoleRequired { .. }
            | Failure::KeyMismatch { .. }
            | Failure::Revoked { .. }
            | Failure::NotOwner { .. }
            | Failure::RequestIdReused
            | Failure::RequestIdExpired
            | Failure::RetryWithoutRequestId
            | Failure::TooLarge { .. }
            | Failure::Compacted { .. }
            | Failure::WatcherTooSlow { .. }
            | Failure::OutcomeUnknown { .. }
            | Failure::NotQueued
            | Failure::InputFailed
            | Failure::WorkerUnreachable { .. }
            | Failure::Internal { .. } => {}
        }
    }

    /// The status of this failure, with all details.
    pub fn to_status(&self) -> Status {
        let ErrorRow { code, reason, message } = self.row();
        let mut details = ErrorDetails::with_error_info(reason, DOMAIN, self.metadata());
        self.add_details(&mut details);
        Status::with_error_details(code, bounded(message), details)
    }
}

/// Statuses travel in headers, which peers bound (often at 8 KiB, with the details in base64 beside
/// the message).
const MAX_MESSAGE_BYTES: usize = 1024;
/// The most bytes of one text in the details, which may be what the caller has sent.
const MAX_DETAIL_BYTES: usize = 256;

fn bounded(mut message: String) -> String {
    if message.len() > MAX_MESSAGE_BYTES {
        shorten(&mut message, MAX_MESSAGE_BYTES);
        message.push('…');
    }
    message
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Status {
        failure.to_status()
    }
}

impl From<FieldViolations> for Failure {
    fn from(violations: FieldViolations) -> Failure {
        Failure::BadRequest(violations)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.row().message)
    }
}

impl std::error::Error for Failure {}
