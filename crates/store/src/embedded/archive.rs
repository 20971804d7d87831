//! Backups of a directory: a snapshot of the database, read on its own thread while the keeper
//! continues.

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

/// Sends backup requests to the keeper, for as long as it exists.
pub(super) struct EmbeddedSource(pub(super) Weak<mpsc::Sender<StoreRequest>>);

impl BackupSource for EmbeddedSource {
    fn pour(&self, into: Pour) {
        // A request that is not accepted is dropped, which tells its reader that the store is
        // closed.
        if let Some(requests) = self.0.upgrade() {
            let _ = requests.try_send(StoreRequest::Archive(into, self.0.clone()));
        }
    }
}

/// The store at one commit.
pub(super) struct SnapshotAt {
    pub(super) snapshot: Snapshot,
    pub(super) keyspace: Keyspace,
    pub(super) cluster: ClusterRecord,
    pub(super) generation: u64,
    pub(super) commit: Commit,
    /// The sum that the records must have.
    pub(super) sum: Checksum,
    /// Whether the store is still open; when it closes, the backup ends too.
    pub(super) asked: Weak<mpsc::Sender<StoreRequest>>,
    /// The last field, so that the lock is held until the reading has ended.
    pub(super) _directory: Arc<Directory>,
}

impl SnapshotAt {
    /// Writes all records into `into`, and verifies their sum.
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
            // Other keys are in the header, or of no known kind.
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
