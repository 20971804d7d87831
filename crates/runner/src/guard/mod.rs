//! The guard: a second process that stops everything leased when the lease has ended and the runner
//! has not.
//!
//! The runner fences by itself ([`crate::engine`]), but only while it is scheduled. The guard is
//! the same binary in another role, in a session and, where that is permitted, a cgroup of its own;
//! [`muster_agent::guard`] makes its decisions. It lives in the runner's PID namespace: the runner
//! can start another guard when one dies, and where that namespace ends, everything leased ends
//! with it. Without a namespace the guard outlives a runner that dies, until it has ended what that
//! runner left.

mod keeper;
mod process;
mod table;

use std::time::Duration;

use muster_units::TimeSpan;

pub(crate) use keeper::Keeper;
pub(crate) use process::run;

/// The first argument of a guard. The other arguments are for the guard alone.
pub(crate) const ROLE: &str = "--guard";

/// What a guard is told on its command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GuardRequest {
    /// `cgroup2`, `freezer`, or the beginning of the marks.
    pub(crate) how: String,
    /// How long frozen trees wait for the runner.
    pub(crate) kill_after: Duration,
}

impl GuardRequest {
    /// The command line that says this to a guard.
    pub(crate) fn arguments(&self) -> [String; 3] {
        [ROLE.to_owned(), self.how.clone(), TimeSpan(self.kill_after).to_string()]
    }
}
