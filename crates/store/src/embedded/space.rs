//! Space on the disk of a store.

use std::io;
use std::path::Path;

/// Whether the file system has no space, or this user's share of it is used up.
pub(super) fn is_storage_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// With less free space than this, no table can be written.
const NO_SPACE_BYTES: u64 = 1 << 20;

pub(super) fn has_no_space(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|space| space.f_bavail.saturating_mul(space.f_frsize) < NO_SPACE_BYTES)
}

/// The free space below which no transaction is begun; on a small file system, a sixteenth of its
/// size. With it, the database's own threads, which sort records into tables, seldom meet a full
/// disk.
const RESERVE_BYTES: u64 = 32 << 20;

/// Whether a transaction may be begun.
pub(super) fn has_room(path: &Path) -> bool {
    // Tests of the store continue until the disk itself refuses. An unknown free space counts as
    // enough.
    cfg!(test)
        || rustix::fs::statvfs(path).map_or(true, |space| {
            let reserve = RESERVE_BYTES.min(space.f_blocks.saturating_mul(space.f_frsize) / 16);
            space.f_bavail.saturating_mul(space.f_frsize) >= reserve
        })
}

pub(super) fn no_space() -> io::Error {
    io::ErrorKind::StorageFull.into()
}
