//! The failures of calls to etcd, and how they are handled.

use std::fmt;

use tonic::Code;

use crate::error::Cause;

/// How a failure is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// No answer, or no conclusive one: the request may have been applied. Another member can be
    /// asked.
    Unanswered,
    /// etcd has no space; the request was not applied.
    NoSpace,
    /// The lease is gone; the request was not applied.
    LeaseGone,
    /// The user lacks permission or its credentials are wrong; the request was not applied.
    Denied,
    /// The requested revision is compacted.
    Compacted,
    /// The request was not applied, and would be refused again.
    Refused,
}

/// A call failed.
#[derive(Debug)]
pub(crate) struct EtcdFailure {
    pub(super) kind: FailureKind,
    pub(super) source: Cause,
}

impl EtcdFailure {
    pub(super) fn new(kind: FailureKind, source: impl Into<Cause>) -> EtcdFailure {
        EtcdFailure { kind, source: source.into() }
    }

    pub(super) fn unanswered(source: impl Into<Cause>) -> EtcdFailure {
        EtcdFailure::new(FailureKind::Unanswered, source)
    }
}

impl fmt::Display for EtcdFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl From<etcd_client::Error> for EtcdFailure {
    fn from(error: etcd_client::Error) -> EtcdFailure {
        use etcd_client::Error;
        match error {
            Error::GRpcStatus(status) => EtcdFailure::new(kind_of(status.code(), status.message()), StatusLine(status)),
            // A connection that could not be made or broke.
            error @ (Error::TransportError(_) | Error::IoError(_)) => EtcdFailure::unanswered(error),
            Error::LeaseKeepAliveError(_) => EtcdFailure::new(FailureKind::LeaseGone, "the lease is gone"),
            error @ (Error::WatchError(_)
            | Error::ElectError(_)
            | Error::EndpointError(_)
            | Error::EndpointsNotManaged
            | Error::Internal(_)) => EtcdFailure::unanswered(error),
            error @ (Error::InvalidArgs(_)
            | Error::InvalidUri(_)
            | Error::Utf8Error(_)
            | Error::InvalidMetadataValue(_)) => EtcdFailure::new(FailureKind::Refused, error),
        }
    }
}

/// etcd distinguishes its errors by their texts, which are part of its interface; different errors
/// share one code.
fn kind_of(code: Code, message: &str) -> FailureKind {
    let says = |text: &str| message.contains(text);
    match code {
        Code::ResourceExhausted if says("database space exceeded") => FailureKind::NoSpace,
        Code::NotFound if says("lease not found") => FailureKind::LeaseGone,
        Code::OutOfRange if says("has been compacted") => FailureKind::Compacted,
        Code::PermissionDenied => FailureKind::Denied,
        Code::InvalidArgument if says("authentication failed") || says("user name is empty") => FailureKind::Denied,
        Code::InvalidArgument if says("role name is empty") || says("user name not found") => FailureKind::Denied,
        Code::FailedPrecondition if says("authentication is not enabled") || says("permission denied") => {
            FailureKind::Denied
        }
        // The users have changed since the token was made; a new token may succeed.
        Code::InvalidArgument if says("revision of auth store is old") => FailureKind::Unanswered,
        Code::InvalidArgument | Code::FailedPrecondition | Code::Unimplemented => FailureKind::Refused,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::OutOfRange
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss
        | Code::Unauthenticated => FailureKind::Unanswered,
    }
}

/// A status in one line; its own text holds the name of the code and every header.
#[derive(Debug)]
struct StatusLine(tonic::Status);

impl fmt::Display for StatusLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.message() {
            "" => write!(f, "{}", self.0.code().description()),
            message => f.write_str(message),
        }
    }
}

impl std::error::Error for StatusLine {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_surely_not_done_is_told_from_what_may_have_been() {
        assert_eq!(kind_of(Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded"), FailureKind::NoSpace);
        assert_eq!(kind_of(Code::ResourceExhausted, "etcdserver: too many requests"), FailureKind::Unanswered);
        assert_eq!(kind_of(Code::Unavailable, "etcdserver: request timed out"), FailureKind::Unanswered);
        assert_eq!(kind_of(Code::NotFound, "etcdserver: requested lease not found"), FailureKind::LeaseGone);
        assert_eq!(kind_of(Code::InvalidArgument, "etcdserver: request is too large"), FailureKind::Refused);
        assert_eq!(
            kind_of(Code::InvalidArgument, "etcdserver: authentication failed, invalid user ID or password"),
            FailureKind::Denied
        );
    }
}
