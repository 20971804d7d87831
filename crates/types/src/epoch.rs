//! Numbers by which a receiver recognises what is out of date.

use std::fmt;

use crate::LeaderUid;

/// A leader's number, compared by (generation, revision). The uid distinguishes two leaders that
/// claim the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch {
    /// The store's generation; raised whenever the store is restored from an earlier state.
    pub generation: u64,
    /// Creation revision of the election key, or the embedded store's start counter.
    pub revision: u64,
    /// The leader that holds it.
    pub leader: LeaderUid,
}

/// How a worker treats a message of some epoch, given the highest it has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EpochCheck {
    /// The same leader.
    Current,
    /// A newer leader: remember it before obeying.
    Newer,
    /// An older leader, or another one that claims an equal epoch: refuse.
    Refused,
}

impl Epoch {
    /// The part by which epochs are ordered.
    pub fn number(&self) -> (u64, u64) {
        (self.generation, self.revision)
    }

    /// Compares `offered` with this epoch, the highest seen.
    pub fn check(&self, offered: &Epoch) -> EpochCheck {
        if offered == self {
            EpochCheck::Current
        } else if offered.number() > self.number() {
            EpochCheck::Newer
        } else {
            EpochCheck::Refused
        }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.generation, self.revision)
    }
}

/// The number of a worker's runner: larger than every earlier one of that worker, and never used
/// again even if a disk is lost or restored. It changes only when the process trees that the runner
/// ran are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation {
    /// Raised from the last one known to the state directory.
    pub counter: u64,
    /// Random, so that a restored disk does not repeat one.
    pub random: u64,
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:016x}", self.counter, self.random)
    }
}

/// A worker's own counter, raised for each stream that it opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Session(pub u64);

/// The number of one transaction of a leader. Each is one more than the last, also across
/// failovers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Commit(pub u64);

impl Commit {
    /// The transaction after this one.
    #[must_use]
    pub fn next(self) -> Commit {
        Commit(self.0 + 1)
    }
}

/// What a caller may conclude from the failure of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was not done and will not be.
    NotApplied,
    /// It may have been done: the caller retries with the same request id.
    Unknown,
}
