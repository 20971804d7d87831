//! The updates of the records that a standby receives.

use muster_types::{Commit, QuarantinedRecord, Snapshot, Write};

/// The changes since the last update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicaUpdate {
    /// All records, which replace those of all earlier updates.
    Full(Snapshot),
    /// The changed records.
    Delta(RecordChanges),
}

/// The changes since the last update. After them, the records are in the state of one moment; while
/// another master leads, that may be in the middle of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordChanges {
    /// The newest commit.
    pub commit: Commit,
    /// The new values of the changed keys, one write for each, deletions first.
    pub writes: Vec<Write>,
    /// All records that cannot be read.
    pub quarantined: Vec<QuarantinedRecord>,
}
