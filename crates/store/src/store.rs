//! The trait of durable records.

use std::future::Future;

use muster_types::{Commit, Snapshot, Write};

use crate::{CommitError, LoadError, ReplicaUpdate};

/// Writes that become durable together or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Its number, which must be one more than the newest in the store. Therefore it applies at
    /// most once and in sequence, however often it is repeated.
    pub commit: Commit,
    /// The writes in order; a later write of a key replaces an earlier one. An empty list only
    /// raises the number.
    pub writes: Vec<Write>,
}

/// The durable records, as one term of leadership may read and write them.
///
/// [`crate::Candidate::campaign`] returns it; every write is guarded by that term as well as by the
/// number. Calls are made one at a time, as `&mut self` demands: the next transaction is prepared
/// while one is in flight, and offered after it.
///
/// A future that is dropped before it is ready leaves the outcome unknown.
pub trait Store: Send {
    /// All records, in a state not older than the start of this term.
    fn load(&mut self) -> impl Future<Output = Result<Snapshot, LoadError>> + Send;

    /// The changes from the last update of the candidate's [`crate::ReplicaHandle`] to the state
    /// that `load` returns; everything, if the handle has returned no update.
    fn catch_up(&mut self) -> impl Future<Output = Result<ReplicaUpdate, LoadError>> + Send {
        async { self.load().await.map(ReplicaUpdate::Full) }
    }

    /// Makes a transaction durable. Returns `Ok` only once it would survive the loss of the process
    /// and of the machine.
    fn commit(&mut self, transaction: Transaction) -> impl Future<Output = Result<(), CommitError>> + Send;

    /// The number of the newest transaction, by a read that cannot be stale. A leader calls it when
    /// the outcome of a transaction is unknown.
    fn newest(&mut self) -> impl Future<Output = Result<Commit, LoadError>> + Send;
}
