//! The status of every failure, and what a caller may conclude from it.

use std::time::Duration;

use muster_proto::FieldViolations;
use muster_proto::errors::{self, Failure, reason};
use muster_types::Verdict;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

fn every_failure() -> Vec<(Failure, Code, &'static str)> {
    let text = || "x".to_owned();
    vec![
        (Failure::NotLeader { leader: None, epoch: None }, Code::Unavailable, reason::NOT_LEADER),
        (Failure::NoLeader, Code::Unavailable, reason::NO_LEADER),
        (Failure::Fenced { have: text(), got: text() }, Code::FailedPrecondition, reason::FENCED),
        (Failure::WrongState { subject: text(), message: text() }, Code::FailedPrecondition, reason::WRONG_STATE),
        (Failure::EtagMismatch { wanted: text(), found: text() }, Code::Aborted, reason::ETAG_MISMATCH),
        (Failure::RequestIdReused, Code::InvalidArgument, reason::REQUEST_ID_REUSED),
        (Failure::RequestIdExpired, Code::FailedPrecondition, reason::REQUEST_ID_EXPIRED),
        (Failure::RetryWithoutRequestId, Code::Aborted, reason::RETRY_WITHOUT_REQUEST_ID),
        (Failure::StoreFull, Code::ResourceExhausted, reason::STORE_FULL),
        (Failure::AlreadyExists { kind: "driver", name: text() }, Code::AlreadyExists, reason::ALREADY_EXISTS),
        (Failure::NotFound { kind: "driver", name: text() }, Code::NotFound, reason::NOT_FOUND),
        (Failure::BadRequest(FieldViolations::of("f", "m")), Code::InvalidArgument, reason::BAD_REQUEST),
        (Failure::TooLarge { what: "a message", limit: 1 }, Code::ResourceExhausted, reason::TOO_LARGE),
        (Failure::QueueFull { what: text() }, Code::ResourceExhausted, reason::QUEUE_FULL),
        (Failure::Compacted { oldest: text(), current: text() }, Code::OutOfRange, reason::COMPACTED),
        (Failure::WatcherTooSlow { resume_token: text() }, Code::ResourceExhausted, reason::WATCHER_TOO_SLOW),
        (Failure::OutcomeUnknown { message: text() }, Code::Unknown, reason::OUTCOME_UNKNOWN),
        (Failure::NeverFits(Box::default()), Code::FailedPrecondition, reason::NEVER_FITS),
        (Failure::NotQueued, Code::DeadlineExceeded, reason::NOT_QUEUED),
        (Failure::InputFailed, Code::Internal, reason::INPUT_FAILED),
        (Failure::WorkerUnreachable { worker: text(), message: text() }, Code::Unavailable, reason::WORKER_UNREACHABLE),
        (Failure::GoingAway, Code::Unavailable, reason::GOING_AWAY),
        (Failure::Internal { message: text() }, Code::Internal, reason::INTERNAL),
    ]
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
