//! What a caller may conclude from a status.

use std::collections::HashMap;
use std::time::Duration;

use muster_types::Verdict;
use tonic::{Code, Status};
use tonic_types::{ErrorInfo, StatusExt as _};

use super::{DOMAIN, reason};
use crate::FieldViolation;

fn our_info(status: &Status) -> Option<ErrorInfo> {
    status.get_details_error_info().filter(|info| info.domain == DOMAIN)
}

/// The stable word of a status that Muster made. `None`: a proxy or a library made it.
pub fn reason_of(status: &Status) -> Option<String> {
    our_info(status).map(|info| info.reason)
}

/// The metadata of a status that is ours; empty otherwise.
pub fn metadata_of(status: &Status) -> HashMap<String, String> {
    our_info(status).map(|info| info.metadata).unwrap_or_default()
}

/// Whether a mutation that failed with this status was applied. A status that is not ours does not
/// tell: gRPC libraries make `UNAVAILABLE` of a connection that breaks after the request went out,
/// which is exactly the case of a leader that dies between commit and reply.
pub fn verdict_of(status: &Status) -> Verdict {
    match our_info(status) {
        Some(info) if info.reason == reason::OUTCOME_UNKNOWN => Verdict::Unknown,
        // The handler broke off; what it had queued before may still be committed.
        Some(info) if info.reason == reason::INPUT_FAILED || info.reason == reason::INTERNAL => Verdict::Unknown,
        Some(_) => Verdict::NotApplied,
        // No server that knows the method was reached.
        None if status.code() == Code::Unimplemented => Verdict::NotApplied,
        None => Verdict::Unknown,
    }
}

/// A call was given up before its connection was up.
#[derive(Debug, thiserror::Error)]
#[error("the connection did not come up in time")]
pub struct NotConnected;

/// Whether nothing of a call was sent, because its connection did not come up: the error or one of
/// its causes says so. After any other error that Muster did not make, the call may have arrived.
pub fn was_never_sent(error: &(dyn std::error::Error + 'static)) -> bool {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.into_iter().any(|cause| cause.is::<tonic::ConnectError>() || cause.is::<NotConnected>())
}

/// Whether the same call, repeated under the same request id, may succeed without any other change.
pub fn may_succeed_later(status: &Status) -> bool {
    match reason_of(status) {
        Some(word) => matches!(
            word.as_str(),
            reason::NOT_LEADER
                | reason::NO_LEADER
                | reason::STORE_RESTORED
                | reason::QUEUE_FULL
                | reason::RATE_LIMITED
                | reason::OUTCOME_UNKNOWN
                | reason::GOING_AWAY
                | reason::NOT_QUEUED
                | reason::WATCHER_TOO_SLOW
        ),
        None => matches!(
            status.code(),
            Code::Unavailable
                | Code::Unknown
                | Code::Internal
                | Code::Cancelled
                | Code::DeadlineExceeded
                | Code::Aborted
        ),
    }
}

/// The wait that the server asks for.
pub fn retry_after(status: &Status) -> Option<Duration> {
    status.get_details_retry_info().and_then(|info| info.retry_delay)
}

/// The address of the leader, as a master that does not lead names it.
pub fn leader_hint(status: &Status) -> Option<String> {
    let mut info = our_info(status)?;
    if info.reason == reason::NOT_LEADER { info.metadata.remove("leader") } else { None }
}

/// The invalid fields; empty when the status names none.
pub fn violations_of(status: &Status) -> Vec<FieldViolation> {
    let Some(bad) = status.get_details_bad_request() else { return Vec::new() };
    bad.field_violations
        .into_iter()
        .map(|violation| FieldViolation { field: violation.field, message: violation.description })
        .collect()
}
