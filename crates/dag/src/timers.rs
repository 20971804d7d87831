//! Deadlines. Timers are not cancelled: the handler ignores one that no longer matters.

use std::collections::BTreeSet;

use muster_types::Time;

use crate::ids::{AttemptSlot, ExecutorSlot, StageSlot, WorkerIndex};

/// The purpose of a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SchedulerTimer {
    /// A stage has waited at its level of locality.
    Locality(StageSlot),
    /// A stage that failed runs again.
    Resubmit(StageSlot),
    /// A barrier stage looks whether there are enough executors.
    Barrier(StageSlot),
    /// A stage looks for slow tasks.
    Speculation(StageSlot),
    /// A stage that avoids executors looks for tasks that can run nowhere.
    Unschedulable(StageSlot),
    /// An executor's end has no reason yet.
    Disconnected(ExecutorSlot),
    /// An executor should have sent a heartbeat.
    Heartbeat(ExecutorSlot),
    /// The exclusion of an executor ends.
    Excluded(ExecutorSlot),
    /// The exclusion of a worker ends.
    WorkerExcluded(WorkerIndex),
    /// A killed attempt should have ended.
    Kill(AttemptSlot),
}

/// All deadlines, earliest first.
#[derive(Debug, Default)]
pub(crate) struct SchedulerTimers {
    set: BTreeSet<(Time, SchedulerTimer)>,
}

impl SchedulerTimers {
    pub(crate) fn arm(&mut self, at: Time, timer: SchedulerTimer) {
        self.set.insert((at, timer));
    }

    /// Takes the first timer that is due.
    pub(crate) fn take_due(&mut self, now: Time) -> Option<SchedulerTimer> {
        match self.set.first() {
            Some((at, _)) if *at <= now => self.set.pop_first().map(|(_, timer)| timer),
            Some(_) | None => None,
        }
    }

    pub(crate) fn next(&self) -> Option<Time> {
        self.set.first().map(|(at, _)| *at)
    }
}
