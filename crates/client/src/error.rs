//! A call that failed.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use muster_proto::{FieldViolation, errors};
use muster_types::Verdict;
use tonic::{Code, Status};

/// A call that failed, and whether it may have been done.
#[derive(Debug, thiserror::Error)]
pub struct CallError {
    /// The name of the call.
    pub method: &'static str,
    /// The master that was asked last; empty where it is not known.
    pub address: String,
    /// The number of tries.
    pub tries: u32,
    /// Whether the call was done, for all tries together.
    pub verdict: Verdict,
    /// The status of the last try.
    #[source]
    pub status: Status,
}

impl CallError {
    /// The error of a read that broke off for good.
    pub fn of_read(method: &'static str, status: Status) -> CallError {
        CallError { method, address: String::new(), tries: 1, verdict: Verdict::NotApplied, status }
    }

    /// The code of the last try.
    pub fn code(&self) -> Code {
        self.status.code()
    }

    /// The stable reason, if Muster made the status.
    pub fn reason(&self) -> Option<String> {
        errors::reason_of(&self.status)
    }

    /// The machine-readable details of the error.
    pub fn metadata(&self) -> HashMap<String, String> {
        errors::metadata_of(&self.status)
    }

    /// The invalid fields, if the request was refused for them.
    pub fn violations(&self) -> Vec<FieldViolation> {
        errors::violations_of(&self.status)
    }

    /// Whether nothing has the name that was asked for.
    pub fn is_not_found(&self) -> bool {
        self.reason().as_deref() == Some(errors::reason::NOT_FOUND)
    }

    /// Whether the events that were asked for are no longer kept: the caller must list again.
    pub fn is_compacted(&self) -> bool {
        self.reason().as_deref() == Some(errors::reason::COMPACTED)
    }

    /// Whether the caller's attempt or session is no longer the present one: another copy may be
    /// running.
    pub fn is_fenced(&self) -> bool {
        self.reason().as_deref() == Some(errors::reason::FENCED)
    }

    /// Whether no connection came up.
    pub fn is_unreachable(&self) -> bool {
        errors::was_never_sent(&self.status)
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_unreachable() {
            f.write_str("no master answers")?;
            if !self.address.is_empty() {
                write!(f, " at {}", self.address)?;
            }
        } else {
            f.write_str(self.status.message())?;
        }
        if self.reason().is_none() && !self.is_unreachable() {
            write!(f, " ({} of {})", self.status.code(), self.method)?;
        }
        if self.verdict == Verdict::Unknown {
            f.write_str("; whether it was done is not known")?;
        }
        Ok(())
    }
}

/// The status of a call that was given up before its connection was up.
pub(crate) fn never_sent() -> Status {
    let mut status = Status::unavailable(errors::NotConnected.to_string());
    status.set_source(Arc::new(errors::NotConnected));
    status
}

/// Whether one try was done, as far as its status tells.
pub(crate) fn verdict(status: &Status) -> Verdict {
    if errors::was_never_sent(status) { Verdict::NotApplied } else { errors::verdict_of(status) }
}

/// Whether another master may do better than the one that answered so. A busy leader still leads. A
/// master that reports an unknown outcome is reachable and forwards to the next leader, which is
/// better than a call to a leader that may be lost.
pub(crate) fn is_better_elsewhere(status: &Status) -> bool {
    use errors::reason::{NOT_QUEUED, OUTCOME_UNKNOWN, QUEUE_FULL, WATCHER_TOO_SLOW};
    let stay = [NOT_QUEUED, OUTCOME_UNKNOWN, QUEUE_FULL, WATCHER_TOO_SLOW];
    errors::reason_of(status).is_none_or(|reason| !stay.contains(&reason.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_not_known_leaves_no_hole_in_the_sentence() {
        let unknown = CallError::of_read("WatchEvents", never_sent());
        assert_eq!(unknown.to_string(), "no master answers");
        let known = CallError { address: "m:1".to_owned(), ..unknown };
        assert_eq!(known.to_string(), "no master answers at m:1");
    }

    #[test]
    fn a_cause_that_lies_deep_is_found() {
        let status = never_sent();
        assert!(errors::was_never_sent(&status));
        assert!(errors::was_never_sent(&CallError::of_read("ReadLog", status)));
        assert!(!errors::was_never_sent(&Status::unavailable("connection reset")));
    }
}
