//! Deadlines. A timer that no longer matters when it fires is ignored by whom it concerns.

use std::collections::BTreeSet;

use muster_types::{ApplicationUid, AttemptKey, DriverUid, Time, WorkerUid};

use crate::SessionNumber;

/// What a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A driver's back-off is over.
    Retry(DriverUid),
    /// A launch should have made progress.
    Progress(AttemptKey),
    /// The lease of an attempt, of which a later incarnation of a best-effort worker proves
    /// nothing, has ended.
    LeaseEnd(AttemptKey),
    /// A session has been away for its grace.
    Session(ApplicationUid, SessionNumber),
    /// What remains of an ending application is killed.
    Ending(ApplicationUid),
    /// An application's back-off is over.
    Backoff(ApplicationUid),
    /// What still runs on a draining worker is ended.
    Drain(WorkerUid),
    /// Finished records have grown too old.
    Retention,
    /// A lost worker has been lost for so long that its record can go.
    LostWorker(WorkerUid),
    /// Leases that a leader before the store's restore answered have ended.
    Settled,
}

/// All deadlines, earliest first.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    set: BTreeSet<(Time, Timer)>,
}

impl Timers {
    pub(crate) fn arm(&mut self, at: Time, timer: Timer) {
        self.set.insert((at, timer));
    }

    /// Takes one that is due.
    pub(crate) fn take_due(&mut self, now: Time) -> Option<Timer> {
        match self.set.first() {
            Some((at, _)) if *at <= now => self.set.pop_first().map(|(_, timer)| timer),
            Some(_) | None => None,
        }
    }

    pub(crate) fn next(&self) -> Option<Time> {
        self.set.first().map(|(at, _)| *at)
    }
}
