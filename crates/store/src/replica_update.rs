//! What is learned of the records by a process that waits to lead.

use muster_types::{Commit, QuarantinedRecord, Snapshot, Write};

/// What was learned since the last news.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicaUpdate {
    /// Everything; nothing that was learned before counts any more.
    Full(Snapshot),
    /// What changed.
    Delta(RecordChanges),
}

/// What changed since the last news. Together with it, all records are as they were at one moment;
/// while another leads, that may be the midst of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordChanges {
    /// The newest commit.
    pub commit: Commit,
    /// What keys now hold, one write for each; deletions first.
    pub writes: Vec<Write>,
    /// All records that cannot be read.
    pub quarantined: Vec<QuarantinedRecord>,
}
