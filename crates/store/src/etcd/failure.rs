//! What a call of etcd may fail with, and what follows.

use std::fmt;

use tonic::Code;

use crate::error::Cause;

/// What may be done about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No answer, or none that says anything: it may have been done. Ask another member.
    Unanswered,
    /// Etcd has no space; it was not done.
    NoSpace,
    /// The lease is gone; it was not done.
    LeaseGone,
    /// The user may not, or is not who it says; it was not done.
    Denied,
    /// That revision is compacted.
    Compacted,
    /// It was not done, and would not be if it were asked again.
    Refused,
}

/// A call failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(super) kind: Kind,
    pub(super) source: Cause,
}

impl Failure {
    pub(super) fn new(kind: Kind, source: impl Into<Cause>) -> Failure {
        Failure { kind, source: source.into() }
    }

    pub(super) fn unanswered(source: impl Into<Cause>) -> Failure {
        Failure::new(Kind::Unanswered, source)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl From<etcd_client::Error> for Failure {
    fn from(error: etcd_client::Error) -> Failure {
        use etcd_client::Error;
        match error {
            Error::GRpcStatus(status) => Failure::new(kind_of(status.code(), status.message()), Status(status)),
            // A connection that could not be made or broke.
            error @ (Error::TransportError(_) | Error::IoError(_)) => Failure::unanswered(error),
            Error::LeaseKeepAliveError(_) => Failure::new(Kind::LeaseGone, "the lease is gone"),
            error @ (Error::WatchError(_)
            | Error::ElectError(_)
            | Error::EndpointError(_)
            | Error::EndpointsNotManaged
            | Error::Internal(_)) => Failure::unanswered(error),
            error @ (Error::InvalidArgs(_)
            | Error::InvalidUri(_)
            | Error::Utf8Error(_)
            | Error::InvalidMetadataValue(_)) => Failure::new(Kind::Refused, error),
        }
    }
}

/// Etcd tells its errors apart by their texts, which are part of its interface; codes are shared by unlike ones.
fn kind_of(code: Code, message: &str) -> Kind {
    let says = |text: &str| message.contains(text);
    match code {
        Code::ResourceExhausted if says("database space exceeded") => Kind::NoSpace,
        Code::NotFound if says("lease not found") => Kind::LeaseGone,
        Code::OutOfRange if says("has been compacted") => Kind::Compacted,
        Code::PermissionDenied => Kind::Denied,
        Code::InvalidArgument if says("authentication failed") || says("user name is empty") => Kind::Denied,
        Code::InvalidArgument if says("role name is empty") || says("user name not found") => Kind::Denied,
        Code::FailedPrecondition if says("authentication is not enabled") || says("permission denied") => Kind::Denied,
        // The users were changed since the token was made: another token, and it may go through.
        Code::InvalidArgument if says("revision of auth store is old") => Kind::Unanswered,
        Code::InvalidArgument | Code::FailedPrecondition | Code::Unimplemented => Kind::Refused,
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
        | Code::Unauthenticated => Kind::Unanswered,
    }
}

/// A status, said in one line: its own text has the code's name and every header in it.
#[derive(Debug)]
struct Status(tonic::Status);

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.message() {
            "" => write!(f, "{}", self.0.code().description()),
            message => f.write_str(message),
        }
    }
}

impl std::error::Error for Status {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_surely_not_done_is_told_from_what_may_have_been() {
        assert_eq!(kind_of(Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded"), Kind::NoSpace);
        assert_eq!(kind_of(Code::ResourceExhausted, "etcdserver: too many requests"), Kind::Unanswered);
        assert_eq!(kind_of(Code::Unavailable, "etcdserver: request timed out"), Kind::Unanswered);
        assert_eq!(kind_of(Code::NotFound, "etcdserver: requested lease not found"), Kind::LeaseGone);
        assert_eq!(kind_of(Code::InvalidArgument, "etcdserver: request is too large"), Kind::Refused);
        assert_eq!(
            kind_of(Code::InvalidArgument, "etcdserver: authentication failed, invalid user ID or password"),
            Kind::Denied
        );
    }
}
