//! Attempts: the names of process trees.

use std::fmt;

use crate::{AllocatedResources, ApplicationUid, DriverUid, Outcome, WallTime};

/// One run of a driver, counted from 1. With the driver's uid it names one process tree for ever.
/// It only grows, so it is also the fencing token that a program passes to the systems it writes
/// to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptNumber(pub u32);

impl fmt::Display for AttemptNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An executor's number: unique in its application, never used again, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExecutorId(pub u32);

impl fmt::Display for ExecutorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names one process tree on a worker, for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttemptKey {
    /// An attempt of a driver.
    Driver(DriverUid, AttemptNumber),
    /// An executor, which is never run again under its number.
    Executor(ApplicationUid, ExecutorId),
}

impl AttemptKey {
    /// 128 bits of the owner's uid.
    pub fn uid(&self) -> u128 {
        match self {
            AttemptKey::Driver(uid, _) => uid.0,
            AttemptKey::Executor(uid, _) => uid.0,
        }
    }

    /// The attempt of the driver, or the number of the executor.
    pub fn number(&self) -> u32 {
        match self {
            AttemptKey::Driver(_, attempt) => attempt.0,
            AttemptKey::Executor(_, executor) => executor.0,
        }
    }

    /// Whether it is an executor.
    pub fn is_executor(&self) -> bool {
        matches!(self, AttemptKey::Executor(..))
    }
}

/// `d-<uid>-<attempt>` or `e-<uid>-<executor>`: also the name of directories and cgroups.
impl fmt::Display for AttemptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AttemptKey::Driver(uid, attempt) => write!(f, "d-{uid}-{attempt}"),
            AttemptKey::Executor(uid, executor) => write!(f, "e-{uid}-{executor}"),
        }
    }
}

/// The text is not the name of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseAttemptKeyError;

impl fmt::Display for ParseAttemptKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an attempt is d-UID-NUMBER or e-UID-NUMBER")
    }
}

impl std::error::Error for ParseAttemptKeyError {}

impl std::str::FromStr for AttemptKey {
    type Err = ParseAttemptKeyError;

    fn from_str(text: &str) -> Result<Self, ParseAttemptKeyError> {
        let mut parts = text.splitn(3, '-');
        let mut part = || parts.next().ok_or(ParseAttemptKeyError);
        let (kind, uid, number) = (part()?, part()?, part()?);
        let number = number.parse().map_err(|_| ParseAttemptKeyError)?;
        match kind {
            "d" => Ok(AttemptKey::Driver(uid.parse().map_err(|_| ParseAttemptKeyError)?, AttemptNumber(number))),
            "e" => Ok(AttemptKey::Executor(uid.parse().map_err(|_| ParseAttemptKeyError)?, ExecutorId(number))),
            _ => Err(ParseAttemptKeyError),
        }
    }
}

/// The state of an attempt on its worker.
///
/// `Accepted → Running → Ended`, with `Killing` before `Ended` while the tree is being ended, and
/// `Frozen` while its lease has run out. Terminal: `Ended`, which says that nothing of the tree is
/// left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptState {
    /// In the journal; its process is not started yet (its artifacts may still be fetched).
    Accepted,
    /// Its main process runs.
    Running,
    /// It is being ended.
    Killing {
        /// The kernel function in which the tree waits, when a KILL does not end it.
        wait_channel: Option<String>,
    },
    /// It executes nothing because its lease ran out. A leader thaws it, or it is killed.
    Frozen,
    /// Nothing of it is left.
    Ended(Outcome),
}

/// A worker's report of one attempt. A newer report of the same attempt replaces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The attempt.
    pub attempt: AttemptKey,
    /// Grows with each change of this attempt within an incarnation; echoed by the acknowledgement.
    pub sequence: u64,
    /// Its state.
    pub state: AttemptState,
    /// Process id of the main process, while it runs.
    pub pid: Option<u32>,
    /// When its main process started.
    pub started: Option<WallTime>,
    /// When the last process of its tree ended.
    pub ended: Option<WallTime>,
    /// What it was given. These resources stay in use until its end is reported, whether or not the
    /// attempt is current.
    pub resources: AllocatedResources,
    /// Name of the driver or application, for people.
    pub id: String,
}

/// Confirms that a report is durable: the worker may forget the attempt if it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The attempt.
    pub attempt: AttemptKey,
    /// The report's sequence.
    pub sequence: u64,
}
