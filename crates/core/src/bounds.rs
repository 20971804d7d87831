//! Bounds of one transaction. The master's commit loop and the simulated world share them, so that
//! the simulation tests the bounds that are shipped.

/// Most inputs for one transaction, so that a commit takes milliseconds.
pub const BATCH_INPUTS: usize = 1024;

/// Most writes in one transaction of etcd, which takes 128 operations by default. The remaining
/// ones are for the record of events, for the deletion of old ones (they are neighbours and are
/// deleted as one range) and for the head.
pub const ETCD_BATCH_WRITES: usize = 120;
