//! Restart and loss policies.

use std::time::Duration;

/// When a process that ended by itself is run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RestartCondition {
    /// Never.
    #[default]
    Never,
    /// When it failed.
    OnFailure,
    /// Always, until it is killed.
    Always,
}

/// What happens to an attempt whose worker is disconnected for longer than the worker timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WorkerLostPolicy {
    /// Leased: the attempt is fenced on its worker when the lease ends, then run again elsewhere.
    Rerun,
    /// Not leased: the attempt goes on, and is shown as `Unreachable` until its worker returns or
    /// is forgotten.
    Wait,
}

impl WorkerLostPolicy {
    /// The default: `Wait` if the program is never restarted, else `Rerun`.
    pub fn default_for(condition: RestartCondition) -> WorkerLostPolicy {
        match condition {
            RestartCondition::Never => WorkerLostPolicy::Wait,
            RestartCondition::OnFailure | RestartCondition::Always => WorkerLostPolicy::Rerun,
        }
    }

    /// Whether attempts are leased.
    pub fn is_leased(self) -> bool {
        self == WorkerLostPolicy::Rerun
    }
}

/// Restart rules. The delay before a restart starts at `backoff_initial`, doubles with each failure
/// up to `backoff_max`, is spread by jitter, and is reset by a run of at least
/// `backoff_reset_after`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestartPolicy {
    /// When to run again.
    pub condition: RestartCondition,
    /// After this many failures of the program within `window`, no further attempt is made.
    pub max_attempts: u32,
    /// The window.
    pub window: Duration,
    /// First delay.
    pub backoff_initial: Duration,
    /// Longest delay.
    pub backoff_max: Duration,
    /// A run at least this long resets the delay.
    pub backoff_reset_after: Duration,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        RestartPolicy {
            condition: RestartCondition::Never,
            // The reference system gives an application up after ten executor failures.
            max_attempts: 10,
            window: Duration::from_secs(3600),
            // The reference system's back-off: 1 s doubling, reset by a run of more than 5 s; ours
            // has a cap.
            backoff_initial: Duration::from_secs(1),
            backoff_max: Duration::from_secs(300),
            backoff_reset_after: Duration::from_secs(5),
        }
    }
}
