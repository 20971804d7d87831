//! The tasks of a stage: 16 bytes each.

use std::num::Saturating;

use crate::ids::{AttemptSlot, LocationIndex};

/// The state of a task.
///
/// ```text
/// Pending ── launch ──▶ Running ── success ──▶ Done
///    ▲                     │                     │
///    │    the last of its  │                     │ its output is lost, or its
///    └──── attempts ended ─┘                     │ stage is rolled back
///    ▲                                           │
///    └───────────────────────────────────────────┘
/// ```
///
/// A late report concerns an attempt that is no longer kept, and changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TaskState {
    /// No attempt runs.
    Pending,
    /// The newest of its attempts that run; each names the one before.
    Running(AttemptSlot),
    /// It has succeeded; `None` keeps no output.
    Done(Option<LocationIndex>),
}

/// One task.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TaskRecord {
    pub(crate) state: TaskState,
    /// Failures that count.
    pub(crate) failures: Saturating<u8>,
    /// Launches.
    pub(crate) launches: Saturating<u16>,
}

impl TaskRecord {
    pub(crate) const NEW: TaskRecord =
        TaskRecord { state: TaskState::Pending, failures: Saturating(0), launches: Saturating(0) };

    pub(crate) fn is_pending(&self) -> bool {
        self.state == TaskState::Pending
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.state, TaskState::Done(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_as_small_as_it_is_said_to_be() {
        assert_eq!(size_of::<TaskRecord>(), 16);
    }
}
