//! Executors in memory.

use std::sync::Arc;

use muster_types::{ExecutorRecord, ExecutorState, Time, WallTime};

/// An executor: its stored record, and state that is not durable.
#[derive(Debug, Clone)]
pub(crate) struct Executor {
    pub(crate) record: Arc<ExecutorRecord>,
    /// The present state, including the states that depend on the worker's connection.
    pub(crate) live: ExecutorState,
    pub(crate) pid: Option<u32>,
    pub(crate) started: Option<WallTime>,
    /// Whether its worker has accepted it, as far as this leader knows.
    pub(crate) progress: bool,
    /// When this leader last launched it; `None` if another leader did.
    pub(crate) launched: Option<Time>,
    /// Whether its worker drains.
    pub(crate) draining: bool,
    /// Sequence of the stored record with its newest entry.
    pub(crate) stored_in: u64,
}

impl Executor {
    pub(crate) fn new(record: Arc<ExecutorRecord>) -> Executor {
        Executor {
            live: record.state,
            record,
            pid: None,
            started: None,
            progress: false,
            launched: None,
            draining: false,
            stored_in: 0,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.record.outcome.is_none()
    }

    /// Whether its launch was taken back, and it has not ended.
    pub(crate) fn is_taken_back(&self) -> bool {
        self.is_open() && self.record.launch_timed_out
    }

    /// Whether it counts towards its profile's target. An executor that drains, is being ended or
    /// is unreachable does not.
    pub(crate) fn counts(&self) -> bool {
        matches!(self.live, ExecutorState::Launching | ExecutorState::Running)
            && !self.draining
            && !self.is_taken_back()
    }

    /// Cores that count towards the application's limit.
    pub(crate) fn cores(&self) -> u64 {
        let held = self.is_open() && self.live != ExecutorState::Unreachable;
        if held { u64::from(self.record.resources.cores) } else { 0 }
    }
}
