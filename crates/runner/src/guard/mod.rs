//! The guard: a second process that stops everything leased when the lease has ended and the runner
//! has not.
//!
//! The runner fences by itself ([`crate::engine`]); that hangs on its being scheduled. The guard is
//! the same binary in another role, in a session and, where that is permitted, a cgroup of its own,
//! and what it decides is [`muster_agent::guard`]. It lives in the runner's PID namespace: so the
//! runner can start another when it dies, and where that namespace ends everything leased ends with
//! it. Without a namespace it outlives a runner that dies, until it has ended what that left.

mod keeper;
mod process;
mod table;

use std::time::Duration;

pub(crate) use keeper::Keeper;
pub(crate) use process::run;

/// The first argument of a guard. The rest is for it alone.
pub(crate) const ROLE: &str = "--guard";

/// What a guard is told on its command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GuardRequest {
    /// `cgroup2`, `freezer`, or the beginning of the marks.
    pub(crate) how: String,
    /// How long what is frozen waits for its runner.
    pub(crate) kill_after: Duration,
}
