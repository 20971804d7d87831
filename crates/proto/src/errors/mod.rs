//! The errors of the wire, in one table: what is said to a caller, and what a caller may conclude.

mod failure;
mod verdict;

pub use failure::Failure;
pub use verdict::{
    NotConnected, leader_hint, may_succeed_later, metadata_of, reason_of, retry_after, verdict_of, violations_of,
    was_never_sent,
};

/// The domain of our `ErrorInfo`. A status without it was not made by us.
pub const DOMAIN: &str = "muster";

/// The stable words of `ErrorInfo.reason`.
pub mod reason {
    /// Not the leader, and cannot forward.
    pub const NOT_LEADER: &str = "NOT_LEADER";
    /// Nobody leads at present.
    pub const NO_LEADER: &str = "NO_LEADER";
    /// The store went back in time, and nobody acts on it.
    pub const STORE_RESTORED: &str = "STORE_RESTORED";
    /// A stale epoch, attempt or session.
    pub const FENCED: &str = "FENCED";
    /// The request does not suit the state.
    pub const WRONG_STATE: &str = "WRONG_STATE";
    /// The record has changed.
    pub const ETAG_MISMATCH: &str = "ETAG_MISMATCH";
    /// The same request id with another body.
    pub const REQUEST_ID_REUSED: &str = "REQUEST_ID_REUSED";
    /// A request id older than what is kept.
    pub const REQUEST_ID_EXPIRED: &str = "REQUEST_ID_EXPIRED";
    /// A library repeated a mutation that nothing makes idempotent.
    pub const RETRY_WITHOUT_REQUEST_ID: &str = "RETRY_WITHOUT_REQUEST_ID";
    /// The store is full.
    pub const STORE_FULL: &str = "STORE_FULL";
    /// The name is taken.
    pub const ALREADY_EXISTS: &str = "ALREADY_EXISTS";
    /// Nothing has that name.
    pub const NOT_FOUND: &str = "NOT_FOUND";
    /// Fields are wrong.
    pub const BAD_REQUEST: &str = "BAD_REQUEST";
    /// A server on loopback was called by a foreign name, or by a browser.
    pub const FOREIGN_HOST: &str = "FOREIGN_HOST";
    /// The call carries no credential.
    pub const NO_CREDENTIAL: &str = "NO_CREDENTIAL";
    /// The credential is unknown, malformed or revoked.
    pub const BAD_CREDENTIAL: &str = "BAD_CREDENTIAL";
    /// The credential is valid no longer.
    pub const CREDENTIAL_EXPIRED: &str = "CREDENTIAL_EXPIRED";
    /// The caller's role does not allow it.
    pub const ROLE_REQUIRED: &str = "ROLE_REQUIRED";
    /// It is another's.
    pub const NOT_OWNER: &str = "NOT_OWNER";
    /// A worker's key is not the one that is recorded for it.
    pub const KEY_MISMATCH: &str = "KEY_MISMATCH";
    /// A worker's key was revoked, or the worker forgotten.
    pub const REVOKED: &str = "REVOKED";
    /// A message or headers beyond what is taken.
    pub const TOO_LARGE: &str = "TOO_LARGE";
    /// A queue is full.
    pub const QUEUE_FULL: &str = "QUEUE_FULL";
    /// The caller asks for more than one caller may.
    pub const RATE_LIMITED: &str = "RATE_LIMITED";
    /// A watch asks for what is not kept, or is not of this store.
    pub const COMPACTED: &str = "COMPACTED";
    /// A watcher reads too slowly and was cut off.
    pub const WATCHER_TOO_SLOW: &str = "WATCHER_TOO_SLOW";
    /// The store did not answer.
    pub const OUTCOME_UNKNOWN: &str = "OUTCOME_UNKNOWN";
    /// Nothing can ever fit.
    pub const NEVER_FITS: &str = "NEVER_FITS";
    /// Given up before it was queued.
    pub const NOT_QUEUED: &str = "NOT_QUEUED";
    /// The handling of the input panicked.
    pub const INPUT_FAILED: &str = "INPUT_FAILED";
    /// A worker cannot be reached for a read.
    pub const WORKER_UNREACHABLE: &str = "WORKER_UNREACHABLE";
    /// The server goes away and ends its streams.
    pub const GOING_AWAY: &str = "GOING_AWAY";
    /// A fault of the server that is none of the above.
    pub const INTERNAL: &str = "INTERNAL";
}
