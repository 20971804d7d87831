//! Requests to the commit loop, and the answers to their callers.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use muster_core::{Answer, Rejection, Request};
use muster_proto::FieldViolations;
use muster_proto::errors::Failure;
use muster_proto::tokens::etag;
use muster_types::RequestId;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{oneshot, watch};
use tonic::metadata::MetadataMap;

use crate::clock;
use crate::commit::{CallReply, PendingCall};
use crate::leader::LeaderContext;
use crate::poison_inputs::{InputDigest, request_id_mut};
use crate::sessions::OpenedSession;

pub(crate) struct CallAnswer {
    pub answer: Answer,
    /// The session that the request opened, if it opened one.
    pub session: Option<Box<OpenedSession>>,
}

/// What the core explains of a record, or else the record without reasons: a full queue or store
/// must not prevent a read.
pub(crate) fn or_unexplained<T>(explained: Result<T, Failure>, plain: impl FnOnce() -> T) -> Result<T, Failure> {
    match explained {
        Err(Failure::QueueFull { .. } | Failure::StoreFull | Failure::OutcomeUnknown { .. }) => Ok(plain()),
        explained => explained,
    }
}

impl LeaderContext {
    /// Queues a request and waits for its answer. If the caller goes away before the request is
    /// handled, nothing is done.
    pub(crate) async fn submit(&self, mut request: Request) -> Result<CallAnswer, Failure> {
        if self.poison_inputs.refuses(clock::boottime(), || InputDigest::of_request(&request)) {
            return Err(Failure::InputFailed);
        }
        let mut full = self.store_full.clone();
        let id = request_id_mut(&mut request).and_then(|id| id.clone());
        self.undecided.refuse(&full, id.as_ref())?;
        let (reply, answered) = oneshot::channel();
        self.inputs.calls.try_send(PendingCall { request, reply }).map_err(|error| match error {
            TrySendError::Full(_) => Failure::QueueFull { what: "the master's queue of requests".to_owned() },
            TrySendError::Closed(_) => Failure::NoLeader,
        })?;
        let answered = tokio::select! {
            biased;
            answered = answered => answered,
            // Requests on their way to the store will be written once there is room.
            Ok(_) = full.wait_for(|full| *full) => {
                self.undecided.add(id);
                return Err(no_answer_yet());
            }
        };
        match answered {
            Ok(CallReply::Answered { answer: Ok(answer), session }) => Ok(CallAnswer { answer, session }),
            Ok(CallReply::Answered { answer: Err(rejection), .. }) => Err(failure_of(rejection)),
            Ok(CallReply::NotApplied) => Err(Failure::NoLeader),
            Ok(CallReply::Failed) => Err(Failure::InputFailed),
            Err(_) => Err(Failure::OutcomeUnknown { message: "the store did not answer".to_owned() }),
        }
    }
}

fn no_answer_yet() -> Failure {
    Failure::OutcomeUnknown { message: "the store is full".to_owned() }
}

/// Ids of the requests that were on their way to the store when it was found full. They are done
/// once there is room, so a repetition is not refused meanwhile. There are no more of them than the
/// queue and a batch hold, because a full store takes no new requests.
#[derive(Debug, Default)]
pub(crate) struct UndecidedRequests(Mutex<BTreeSet<RequestId>>);

impl UndecidedRequests {
    fn add(&self, id: Option<RequestId>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(id);
    }

    /// Refuses a request while the store is full. If the same request may still be on its way to
    /// the store, its outcome is unknown. Once there is room again, all are decided. `full` must be
    /// read under the lock, or an id that was just added could be forgotten.
    fn refuse(&self, full: &watch::Receiver<bool>, id: Option<&RequestId>) -> Result<(), Failure> {
        let mut undecided = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !*full.borrow() {
            undecided.clear();
            return Ok(());
        }
        Err(if id.is_some_and(|id| undecided.contains(id)) { no_answer_yet() } else { Failure::StoreFull })
    }
}

/// The entry of the error table for a refusal by the core.
fn failure_of(rejection: Rejection) -> Failure {
    match rejection {
        Rejection::NotFound { kind, name } => Failure::NotFound { kind, name },
        Rejection::AlreadyExists { kind, name } => Failure::AlreadyExists { kind, name },
        Rejection::RequestIdReused => Failure::RequestIdReused,
        Rejection::RequestIdExpired => Failure::RequestIdExpired,
        Rejection::VersionMismatch { wanted, found } => {
            Failure::EtagMismatch { wanted: etag(wanted), found: etag(found) }
        }
        Rejection::Fenced { got, have } => Failure::Fenced { have, got },
        Rejection::WrongState { subject, message } => Failure::WrongState { subject, message },
        Rejection::NeverFits(reason) => Failure::NeverFits(reason),
        Rejection::QueueFull { what } => Failure::QueueFull { what },
        Rejection::BadField { field, message } => Failure::BadRequest(FieldViolations::of(field, message)),
    }
}

/// The error for an answer that does not fit its request, which is a bug of the core.
pub(crate) fn unexpected(answer: &Answer) -> Failure {
    tracing::error!(?answer, "the core gave an answer of another kind");
    Failure::Internal { message: "an answer of another kind than the request".to_owned() }
}

/// The header that gRPC libraries set on their own retries.
const PREVIOUS_ATTEMPTS: &str = "grpc-previous-rpc-attempts";

/// Refuses a library's retry of a mutation that nothing makes idempotent: the first try may have
/// been done.
pub(crate) fn guard_retry(metadata: &MetadataMap, request: Option<&RequestId>, named: bool) -> Result<(), Failure> {
    let repeated = metadata.contains_key(PREVIOUS_ATTEMPTS);
    if repeated && request.is_none() && !named { Err(Failure::RetryWithoutRequestId) } else { Ok(()) }
}
