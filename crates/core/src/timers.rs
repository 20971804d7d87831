//! Deadlines. Timers are not cancelled: the handler ignores one that no longer matters.

use std::collections::BTreeSet;

use muster_types::{ApplicationUid, AttemptKey, DriverUid, Time, WorkerUid};

use crate::SessionNumber;

/// The purpose of a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A driver's back-off is over.
    Retry(DriverUid),
    /// A launch should have made progress.
    Progress(AttemptKey),
    /// The lease of an attempt has ended. Used where a later incarnation of a best-effort worker
    /// does not prove that the attempt is gone.
    LeaseEnd(AttemptKey),
    /// The grace of a session is over.
    Session(ApplicationUid, SessionNumber),
    /// The remaining executors of an ending application are killed.
    Ending(ApplicationUid),
    /// An application's back-off is over.
    Backoff(ApplicationUid),
    /// The remaining attempts on a draining worker are ended.
    Drain(WorkerUid),
    /// Finished records have grown too old.
    Retention,
    /// Tokens have ended long ago.
    Tokens,
    /// A worker has been lost for so long that its record may be removed.
    LostWorker(WorkerUid),
    /// The leases that leaders before the restore renewed have ended.
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

    /// Takes the first timer that is due.
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
