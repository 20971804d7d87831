//! Backups of a directory: a snapshot of the database, read on a thread of its own while the keeper
//! goes on.

use std::sync::{Arc, Weak};

use fjall::{Keyspace, Readable as _, Snapshot};
use muster_types::{ClusterRecord, Commit};
use tokio::sync::mpsc;

use super::checksums::{Checksum, RecordChecksums};
use super::keeper::StoreRequest;
use crate::ArchiveError;
use crate::backup::{BackupSource, Pour};
use crate::directory::Directory;
use crate::key::Key;

/// Asks the keeper, for as long as there is one.
pub(super) struct EmbeddedSource(pub(super) Weak<mpsc::Sender<StoreRequest>>);

impl BackupSource for EmbeddedSource {
    fn pour(&self, into: Pour) {
        // What is not taken is dropped, and its reader told that the store is closed.
        if let Some(requests) = self.0.upgrade() {
            let _ = requests.try_send(StoreRequest::Archive(into, self.0.clone()));
        }
    }
}

/// The store at one moment.
pub(super) struct SnapshotAt {
    pub(super) snapshot: Snapshot,
    pub(super) keyspace: Keyspace,
    pub(super) cluster: ClusterRecord,
    pub(super) generation: u64,
    pub(super) commit: Commit,
    /// What the records must add up to.
    pub(super) sum: Checksum,
    /// Whether anyone may still ask; once nobody may, this ends too.
    pub(super) asked: Weak<mpsc::Sender<StoreRequest>>,
    /// Last: the lock is held until nothing is read any more.
    pub(super) _directory: Arc<Directory>,
}

impl SnapshotAt {
    /// Pours it out.
    pub(super) fn pour(self, mut into: Pour) {
        into.begin_current(&self.cluster, self.generation, self.commit);
        let mut checksums = RecordChecksums::default();
        for entry in self.snapshot.iter(&self.keyspace) {
            if self.asked.strong_count() == 0 {
                return into.fail_blocking(ArchiveError::Closed);
            }
            let (key_bytes, value) = match entry.into_inner() {
                Ok(entry) => entry,
                Err(error) => return into.fail_blocking(ArchiveError::Store { source: error.into() }),
            };
            // The rest is in the header, or is of no known kind.
            let Some(key) = Key::from_bytes(&key_bytes) else { continue };
            checksums.put(key, &key_bytes, &value);
            if into.add(key, value.to_vec()) && into.flush_blocking().is_err() {
                return;
            }
        }
        if checksums.sum() != self.sum {
            return into.fail_blocking(ArchiveError::Store { source: "the records do not add up".into() });
        }
        into.end_blocking();
    }
}
