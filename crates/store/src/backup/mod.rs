//! Backups: a store at one revision as one stream of bytes, and a store made from it.

mod archive;
mod format;
mod restore;

pub use archive::{Archive, ArchiveError, Backup};
pub(crate) use archive::{BackupSource, Pour};
pub(crate) use restore::Verified;
pub use restore::{RestoreError, Restored, restore};
