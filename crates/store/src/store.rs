//! The trait of durable records.

use std::future::Future;

use muster_types::{Commit, Snapshot, Write};

use crate::{CommitError, LoadError, ReplicaUpdate};

/// Writes that become durable together or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Its number: one more than the newest in the store, else it is refused. So it applies at most
    /// once and in sequence, whoever repeats it.
    pub commit: Commit,
    /// In order; a later write of a key replaces an earlier one. May be empty: then the number
    /// alone is raised.
    pub writes: Vec<Write>,
}

/// The durable records, as one term of leadership may read and write them.
///
/// Handed out by [`crate::Candidate::campaign`]; every write is guarded by that term as well as by
/// the number. One call at a time, which `&mut self` says: the next transaction is made while one
/// is in flight, and offered after it.
///
/// A future that is dropped before it is ready leaves the outcome unknown.
pub trait Store: Send {
    /// Everything, at a state not older than the win of this term.
    fn load(&mut self) -> impl Future<Output = Result<Snapshot, LoadError>> + Send;

    /// What is new in that against the last news of the candidate's [`crate::ReplicaHandle`]:
    /// everything, where that has said nothing.
    fn catch_up(&mut self) -> impl Future<Output = Result<ReplicaUpdate, LoadError>> + Send {
        async { self.load().await.map(ReplicaUpdate::Full) }
    }

    /// Makes a transaction durable. `Ok` only once it would survive the loss of the process and of
    /// the machine.
    fn commit(&mut self, transaction: Transaction) -> impl Future<Output = Result<(), CommitError>> + Send;

    /// Number of the newest transaction, read so that nothing acknowledged anywhere is newer: what
    /// a leader asks when the outcome of one is unknown.
    fn newest(&mut self) -> impl Future<Output = Result<Commit, LoadError>> + Send;
}
