//! The database: fjall, a log-structured store, measured against B-trees in
//! `examples/databases.rs`.
//!
//! Keys are random, so a B-tree writes a page of 4 KiB and its parents for each record of 350
//! bytes; a log writes the record.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use fjall::{KeyspaceCreateOptions, PersistMode};

use super::space::is_storage_full;

/// The cache of read blocks. It is small because everything is read once, at the start, and never
/// again.
const CACHE_BYTES: u64 = 1 << 20;
/// The size at which records in memory are sorted into a table. Up to five of these may exist under
/// load, so it bounds memory; a smaller size makes more and smaller tables, which are merged more
/// often. Tests use a small one, so that kills and damage also hit the making and merging of
/// tables.
const MEMTABLE_BYTES: u64 = if cfg!(test) { 256 << 10 } else { 4 << 20 };
/// The least that fjall accepts. It starts a new log at 64 MB, so this bounds how much a start
/// after a crash reads again.
const JOURNAL_BYTES: u64 = 64 << 20;

/// The extension of fjall's logs, which lie beside its tables.
const LOG_EXTENSION: &str = "jnl";

pub(super) struct Database {
    database: fjall::Database,
    keyspace: fjall::Keyspace,
}

/// Whether a failure means that the stored data is damaged, rather than that it could not be read.
pub(super) fn is_damage(error: &fjall::Error) -> bool {
    use std::io::ErrorKind;
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => {
            matches!(error.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof | ErrorKind::InvalidData)
        }
        fjall::Error::Poisoned | fjall::Error::Locked | fjall::Error::KeyspaceDeleted => false,
        // fjall may add variants; all its present ones are of this kind.
        _ => true,
    }
}

/// Whether a failure says that the disk is full.
pub(super) fn is_full(error: &fjall::Error) -> bool {
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => is_storage_full(error),
        _ => false,
    }
}

/// Whether an earlier failure, which may be one of the database's own threads, has ended all
/// writing.
pub(super) fn is_poisoned(error: &fjall::Error) -> bool {
    matches!(error, fjall::Error::Poisoned)
}

/// Whether a backup still reads the database from before it was opened anew.
pub(super) fn is_busy(error: &fjall::Error) -> bool {
    matches!(error, fjall::Error::Locked)
}

/// Makes the readable content of a closed database's logs durable.
///
/// After a failed sync, pages can be read back that were never written, and no later sync writes
/// them. Therefore every byte is written over itself before the sync. Ranges of zeros are skipped:
/// fjall makes a new log as a sparse file of 64 MiB, which would take up that room, and zeros that
/// never reach the disk still read as zeros.
pub(super) fn sync_logs(path: &Path) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != LOG_EXTENSION) {
            continue;
        }
        let file = match File::options().read(true).write(true).open(&path) {
            // A backup still holds the former database, which has deleted a log meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file?,
        };
        let mut offset = 0;
        loop {
            let length = file.read_at(&mut buffer, offset)?;
            if length == 0 {
                break;
            }
            let piece = &buffer[..length];
            if piece.iter().any(|byte| *byte != 0) {
                file.write_all_at(piece, offset)?;
            }
            offset += length as u64;
        }
        file.sync_all()?;
    }
    Ok(())
}

impl Database {
    /// Opens it, or makes an empty one.
    pub(super) fn open(path: &Path) -> Result<Database, fjall::Error> {
        let database = fjall::Database::builder(path)
            .cache_size(CACHE_BYTES)
            .worker_threads(1)
            .max_journaling_size(JOURNAL_BYTES)
            .manual_journal_persist(true)
            .open()?;
        let keyspace = database.keyspace("records", || {
            // Each transaction requests its own sync.
            KeyspaceCreateOptions::default().manual_journal_persist(true).max_memtable_size(MEMTABLE_BYTES)
        })?;
        Ok(Database { database, keyspace })
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<fjall::Slice>, fjall::Error> {
        self.keyspace.get(key)
    }

    /// All entries, in the order of their keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = Result<(fjall::Slice, fjall::Slice), fjall::Error>> {
        self.keyspace.iter().map(fjall::Guard::into_inner)
    }

    /// A snapshot of the present state, for another thread.
    pub(super) fn snapshot(&self) -> (fjall::Snapshot, fjall::Keyspace) {
        (self.database.snapshot(), self.keyspace.clone())
    }

    /// Makes changes durable, together or not at all, with one sync. `None` removes a key. No key
    /// may occur twice.
    pub(super) fn write(&self, changes: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Result<(), fjall::Error> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(&self.keyspace, key, value),
                None => batch.remove(&self.keyspace, key),
            }
        }
        batch.commit()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn syncing_logs_writes_what_is_there_and_fills_no_hole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("1.jnl");
        let log = File::create(&path).unwrap();
        log.write_all_at(b"begin", 0).unwrap();
        log.write_all_at(b"end", 5 << 20).unwrap();
        log.set_len(64 << 20).unwrap();
        let before = std::fs::read(&path).unwrap();
        sync_logs(directory.path()).unwrap();
        assert!(std::fs::read(&path).unwrap() == before, "the same bytes");
        assert!(log.metadata().unwrap().blocks() * 512 < 1 << 20, "room for a hole was taken");
    }
}
