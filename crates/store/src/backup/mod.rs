//! Backups: one revision of a store as a stream of bytes, and new stores made from it.

mod archive;
mod format;
mod restore;

pub use archive::{Archive, ArchiveError, Backup};
pub(crate) use archive::{BackupSource, Pour};
pub(crate) use restore::Verified;
pub use restore::{RestoreError, Restored, restore};
