//! The form of what is stored.

/// The newest form of the records that this program reads, and the one that it writes.
pub(crate) const SCHEMA: u32 = 1;
