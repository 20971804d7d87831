//! How much one transaction takes: what the master's commit loop and the simulated world share, so
//! that the world plays what ships.

/// Inputs handled for one transaction: what keeps a commit a matter of milliseconds.
pub const BATCH_INPUTS: usize = 1024;

/// Writes of one transaction of etcd, which takes 128 operations by default: room is left for the
/// record of events, for the deletion of old ones (they are neighbours, which go as one range) and
/// for the head.
pub const ETCD_BATCH_WRITES: usize = 120;
