//! The numbers that make lateness harmless.

use std::fmt;

use crate::LeaderUid;

/// A leader's number. Compared by (generation, revision); the uid tells apart two leaders that
/// claim the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch {
    /// The store's generation; raised whenever a store is restored from the past.
    pub generation: u64,
    /// Creation revision of the election key, or the embedded store's start counter.
    pub revision: u64,
    /// The leader that holds it.
    pub leader: LeaderUid,
}

/// What a worker does with a message of some epoch, given the highest it has seen.
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
    /// The part that is ordered.
    pub fn number(&self) -> (u64, u64) {
        (self.generation, self.revision)
    }

    /// How `offered` stands to this one, the highest seen.
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

/// The number of one transaction of a leader; the next is one more, through failovers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Commit(pub u64);

impl Commit {
    /// The transaction after this one.
    #[must_use]
    pub fn next(self) -> Commit {
        Commit(self.0 + 1)
    }
}

/// What a caller may conclude of a request that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was not done and will not be.
    NotApplied,
    /// It may have been done: ask again under the same request id.
    Unknown,
}
