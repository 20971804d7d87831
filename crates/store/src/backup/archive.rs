//! Takes a backup while the store is in use.

use std::fmt;
use std::sync::Arc;

use muster_types::{ClusterRecord, Commit};
use tokio::sync::mpsc;

use super::format::{Encoder, FORMAT};
use crate::clock::wall;
use crate::codec::Stored as _;
use crate::codec::proto::BackupHeader;
use crate::error::Cause;
use crate::key::Key;
use crate::schema::SCHEMA;

/// The most chunks that wait for a slow reader.
const WAITING: usize = 4;
/// The approximate size of a chunk.
const CHUNK_BYTES: usize = 256 << 10;

/// A backup could not be completed; the bytes that were read of it are useless.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
    /// The backup took so long that the store has dropped the revision that was being read. It must
    /// be taken again, and read faster.
    #[error("the store has forgotten the state that was being read: read the backup faster")]
    Forgotten,
    /// The store could not be read.
    #[error("the store cannot be read")]
    Store {
        /// Why.
        source: Cause,
    },
}

/// The source of a store's records, which can be read any number of times.
pub(crate) trait BackupSource: Send + Sync {
    /// Begins to write the records into `into`. It must not wait.
    fn pour(&self, into: Pour);
}

/// Takes backups of a store at any time, with or without a leader. It is cheap to clone.
#[derive(Clone)]
pub struct Archive(Arc<dyn BackupSource>);

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Archive")
    }
}

impl Archive {
    pub(crate) fn new(source: impl BackupSource + 'static) -> Archive {
        Archive(Arc::new(source))
    }

    /// Begins a backup of everything at one present revision.
    pub fn begin(&self) -> Backup {
        let (sender, receiver) = mpsc::channel(WAITING);
        self.0.pour(Pour { sender, begun: None, bytes: Vec::new() });
        Backup { receiver, is_over: false }
    }
}

/// A backup during its reading. It is complete only after `None` was read.
#[derive(Debug)]
pub struct Backup {
    receiver: mpsc::Receiver<Result<Vec<u8>, ArchiveError>>,
    is_over: bool,
}

impl Backup {
    /// The next bytes of the file; `None` at its end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ArchiveError> {
        if self.is_over {
            return Ok(None);
        }
        match self.receiver.recv().await {
            // An empty chunk marks the end; a source that died leaves no mark.
            Some(Ok(bytes)) if bytes.is_empty() => {
                self.is_over = true;
                Ok(None)
            }
            Some(answer) => answer.map(Some),
            None => Err(ArchiveError::Closed),
        }
    }
}

/// The reader of the backup is gone.
pub(crate) struct Unread;

/// The writer of a backup.
pub(crate) struct Pour {
    sender: mpsc::Sender<Result<Vec<u8>, ArchiveError>>,
    begun: Option<Encoder>,
    bytes: Vec<u8>,
}

impl Pour {
    /// Writes the header. It must be called first.
    pub(crate) fn begin(&mut self, schema: u32, cluster: &ClusterRecord, generation: u64, commit: Commit) {
        let (encoder, bytes) = Encoder::begin(&BackupHeader {
            format: FORMAT,
            schema,
            cluster: Some(cluster.to_message()),
            generation,
            commit: commit.0,
            taken: wall().0,
        });
        self.begun = Some(encoder);
        self.bytes = bytes;
    }

    /// Writes the header with the present schema.
    pub(crate) fn begin_current(&mut self, cluster: &ClusterRecord, generation: u64, commit: Commit) {
        self.begin(SCHEMA, cluster, generation, commit);
    }

    /// Adds a record; returns whether it is time to [`Pour::flush`].
    pub(crate) fn add(&mut self, key: Key, value: Vec<u8>) -> bool {
        if let Some(encoder) = &mut self.begun {
            encoder.record(&mut self.bytes, key, value);
        }
        self.bytes.len() >= CHUNK_BYTES
    }

    /// Hands the added bytes to the reader. Waits for a slow one.
    pub(crate) async fn flush(&mut self) -> Result<(), Unread> {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes.is_empty() {
            return Ok(());
        }
        self.sender.send(Ok(bytes)).await.map_err(|_| Unread)
    }

    /// As above, on a thread that may block.
    pub(crate) fn flush_blocking(&mut self) -> Result<(), Unread> {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes.is_empty() {
            return Ok(());
        }
        self.sender.blocking_send(Ok(bytes)).map_err(|_| Unread)
    }

    /// Writes the trailer and the mark of the end. It must be called last, when no record is
    /// missing.
    pub(crate) async fn end(mut self) {
        self.close();
        if self.flush().await.is_ok() {
            let _ = self.sender.send(Ok(Vec::new())).await;
        }
    }

    /// As above, on a thread that may block.
    pub(crate) fn end_blocking(mut self) {
        self.close();
        if self.flush_blocking().is_ok() {
            let _ = self.sender.blocking_send(Ok(Vec::new()));
        }
    }

    fn close(&mut self) {
        if let Some(encoder) = self.begun.take() {
            self.bytes.extend(encoder.end());
        }
    }

    /// Ends the backup with an error.
    pub(crate) async fn fail(self, error: ArchiveError) {
        let _ = self.sender.send(Err(error)).await;
    }

    /// As above, on a thread that may block.
    pub(crate) fn fail_blocking(self, error: ArchiveError) {
        let _ = self.sender.blocking_send(Err(error));
    }
}
