//! The status of every failure, and what a caller may conclude from it.

use std::time::Duration;

use muster_proto::FieldViolations;
use muster_proto::errors::{self, Failure, reason};
use muster_types::Verdict;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// The list of every failure with its code and reason, from rows `pattern => value, code, reason;`.
/// The patterns are a match without a rest, so a failure without a row does not compile.
macro_rules! failures {
    ($($pattern:pat => $failure:expr, $code:ident, $reason:ident;)*) => {
        fn every_failure() -> Vec<(Failure, Code, &'static str)> {
            use Failure::*;
            let _every_one_has_a_row = |failure: &Failure| match failure {
                $($pattern => {})*
            };
            vec![$({
                let failure = $failure;
                assert!(matches!(failure, $pattern), "{failure:?} is in the row of another");
                (failure, Code::$code, reason::$reason)
            }),*]
        }
    };
}

/// Longer than the headers of any answer.
fn text() -> String {
    "x".repeat(100_000)
}

failures! {
    NotLeader { .. } => NotLeader { leader: None, epoch: None }, Unavailable, NOT_LEADER;
    NoLeader => NoLeader, Unavailable, NO_LEADER;
    StoreRestored => StoreRestored, Unavailable, STORE_RESTORED;
    Fenced { .. } => Fenced { have: text(), got: text() }, FailedPrecondition, FENCED;
    WrongState { .. } => WrongState { subject: text(), message: text() }, FailedPrecondition, WRONG_STATE;
    EtagMismatch { .. } => EtagMismatch { wanted: text(), found: text() }, Aborted, ETAG_MISMATCH;
    RequestIdReused => RequestIdReused, InvalidArgument, REQUEST_ID_REUSED;
    RequestIdExpired => RequestIdExpired, FailedPrecondition, REQUEST_ID_EXPIRED;
    RetryWithoutRequestId => RetryWithoutRequestId, Aborted, RETRY_WITHOUT_REQUEST_ID;
    StoreFull => StoreFull, ResourceExhausted, STORE_FULL;
    AlreadyExists { .. } => AlreadyExists { kind: "driver", name: text() }, AlreadyExists, ALREADY_EXISTS;
    NotFound { .. } => NotFound { kind: "driver", name: text() }, NotFound, NOT_FOUND;
    BadRequest(_) => BadRequest(FieldViolations::of("f", "m")), InvalidArgument, BAD_REQUEST;
    ForeignHost { .. } => ForeignHost { host: text() }, PermissionDenied, FOREIGN_HOST;
    NoCredential => NoCredential, Unauthenticated, NO_CREDENTIAL;
    BadCredential { .. } => BadCredential { message: text() }, Unauthenticated, BAD_CREDENTIAL;
    CredentialExpired { .. } => CredentialExpired { credential: text() }, Unauthenticated, CREDENTIAL_EXPIRED;
    RoleRequired { .. } => RoleRequired { caller: text(), needed: text() }, PermissionDenied, ROLE_REQUIRED;
    KeyMismatch { .. } => KeyMismatch { worker: text() }, PermissionDenied, KEY_MISMATCH;
    Revoked { .. } => Revoked { worker: text() }, PermissionDenied, REVOKED;
    NotOwner { .. } => NotOwner { caller: text(), kind: "driver", name: text() }, PermissionDenied, NOT_OWNER;
    TooLarge { .. } => TooLarge { what: "a message", limit: 1 }, ResourceExhausted, TOO_LARGE;
    RateLimited { .. } => RateLimited { caller: text(), what: "calls at one time", wait: None }, ResourceExhausted, RATE_LIMITED;
    QueueFull { .. } => QueueFull { what: text() }, ResourceExhausted, QUEUE_FULL;
    Compacted { .. } => Compacted { oldest: text(), current: text() }, OutOfRange, COMPACTED;
    WatcherTooSlow { .. } => WatcherTooSlow { resume_token: text() }, ResourceExhausted, WATCHER_TOO_SLOW;
    OutcomeUnknown { .. } => OutcomeUnknown { message: text() }, Unknown, OUTCOME_UNKNOWN;
    NeverFits(_) => NeverFits(Box::default()), FailedPrecondition, NEVER_FITS;
    NotQueued => NotQueued, DeadlineExceeded, NOT_QUEUED;
    InputFailed => InputFailed, Internal, INPUT_FAILED;
    WorkerUnreachable { .. } => WorkerUnreachable { worker: text(), message: text() }, Unavailable, WORKER_UNREACHABLE;
    GoingAway => GoingAway, Unavailable, GOING_AWAY;
    Internal { .. } => Internal { message: text() }, Internal, INTERNAL;
}

#[test]
fn every_failure_says_its_code_its_reason_and_whether_it_was_done() {
    for (failure, code, reason) in every_failure() {
        let status = Status::from(failure.clone());
        assert_eq!(status.code(), code, "{failure:?}");
        assert_eq!(errors::reason_of(&status).as_deref(), Some(reason), "{failure:?}");
        let unknown = [reason::OUTCOME_UNKNOWN, reason::INPUT_FAILED, reason::INTERNAL].contains(&reason);
        let verdict = if unknown { Verdict::Unknown } else { Verdict::NotApplied };
        assert_eq!(errors::verdict_of(&status), verdict, "{failure:?}");
        // A change that may have been made is never UNAVAILABLE: libraries repeat that on their
        // own.
        assert!(verdict == Verdict::NotApplied || code != Code::Unavailable);
    }
}

/// An answer travels in headers, which peers bound, often at 8 KiB, in base64.
#[test]
fn no_failure_carries_back_all_that_was_sent() {
    for (failure, _, reason) in every_failure() {
        let status = Status::from(failure);
        assert!(status.message().len() <= 1024 + "…".len(), "{reason}");
        assert!(status.details().len() < 2500, "{reason}: {}", status.details().len());
    }
}

#[test]
fn a_status_that_is_not_ours_says_nothing_of_the_outcome() {
    for code in [Code::Unavailable, Code::Cancelled, Code::DeadlineExceeded, Code::Internal, Code::Unknown] {
        let status = Status::new(code, "connection reset");
        assert_eq!((errors::verdict_of(&status), errors::reason_of(&status)), (Verdict::Unknown, None));
        assert!(errors::may_succeed_later(&status));
    }
    assert_eq!(errors::verdict_of(&Status::new(Code::Unimplemented, "")), Verdict::NotApplied);
}

#[test]
fn a_caller_learns_who_leads_and_when_to_come_back() {
    let status = Status::from(Failure::NotLeader { leader: Some("m2:7077".into()), epoch: None });
    assert_eq!(errors::leader_hint(&status).as_deref(), Some("m2:7077"));
    assert!(errors::retry_after(&status).is_some_and(|wait| wait > Duration::ZERO));
    assert_eq!(errors::leader_hint(&Status::from(Failure::NoLeader)), None);
}

#[test]
fn what_is_about_a_thing_names_it() {
    let status = Status::from(Failure::NotFound { kind: "worker", name: "w9".into() });
    let info = status.get_details_resource_info().unwrap();
    assert_eq!((info.resource_type.as_str(), info.resource_name.as_str()), ("muster/worker", "w9"));
}
