//! Taking a backup, while the store is in use.

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

/// Chunks that wait for a slow reader.
const WAITING: usize = 4;
/// About what a chunk weighs.
const CHUNK_BYTES: usize = 256 << 10;

/// A backup could not be taken to its end: what was read of it is none.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The store is closed, or nobody could be asked.
    #[error("the store is closed")]
    Closed,
    /// It took so long that the store has forgotten the state that was being read: take it again,
    /// and faster.
    #[error("the store has forgotten the state that was being read: read the backup faster")]
    Forgotten,
    /// The store could not be read.
    #[error("the store cannot be read")]
    Store {
        /// Why.
        source: Cause,
    },
}

/// What can pour a store out, as often as it is asked.
pub(crate) trait BackupSource: Send + Sync {
    /// Begins to. It must not wait.
    fn pour(&self, into: Pour);
}

/// Takes backups of a store: at any time, led or not. Cheap to clone.
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

    /// Begins a backup: everything as it is now, at one revision.
    pub fn begin(&self) -> Backup {
        let (sender, receiver) = mpsc::channel(WAITING);
        self.0.pour(Pour { sender, begun: None, bytes: Vec::new() });
        Backup { receiver, is_over: false }
    }
}

/// A backup that is being read. It is one only if it was read until `None`.
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
            // The mark of an end that is none of a reader who died.
            Some(Ok(bytes)) if bytes.is_empty() => {
                self.is_over = true;
                Ok(None)
            }
            Some(answer) => answer.map(Some),
            None => Err(ArchiveError::Closed),
        }
    }
}

/// Nobody reads any more.
pub(crate) struct Unread;

/// Where a source pours.
pub(crate) struct Pour {
    sender: mpsc::Sender<Result<Vec<u8>, ArchiveError>>,
    begun: Option<Encoder>,
    bytes: Vec<u8>,
}

impl Pour {
    /// First: what is poured.
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

    /// The same, of the present form.
    pub(crate) fn begin_current(&mut self, cluster: &ClusterRecord, generation: u64, commit: Commit) {
        self.begin(SCHEMA, cluster, generation, commit);
    }

    /// Adds a record; says whether it is time to [`Pour::flush`].
    pub(crate) fn add(&mut self, key: Key, value: Vec<u8>) -> bool {
        if let Some(encoder) = &mut self.begun {
            encoder.record(&mut self.bytes, key, value);
        }
        self.bytes.len() >= CHUNK_BYTES
    }

    /// Hands over what was added. Waits for a slow reader.
    pub(crate) async fn flush(&mut self) -> Result<(), Unread> {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes.is_empty() {
            return Ok(());
        }
        self.sender.send(Ok(bytes)).await.map_err(|_| Unread)
    }

    /// The same, on a thread that may wait.
    pub(crate) fn flush_blocking(&mut self) -> Result<(), Unread> {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes.is_empty() {
            return Ok(());
        }
        self.sender.blocking_send(Ok(bytes)).map_err(|_| Unread)
    }

    /// Last: nothing is missing.
    pub(crate) async fn end(mut self) {
        self.close();
        if self.flush().await.is_ok() {
            let _ = self.sender.send(Ok(Vec::new())).await;
        }
    }

    /// The same, on a thread that may wait.
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

    /// It failed.
    pub(crate) async fn fail(self, error: ArchiveError) {
        let _ = self.sender.send(Err(error)).await;
    }

    /// The same, on a thread that may wait.
    pub(crate) fn fail_blocking(self, error: ArchiveError) {
        let _ = self.sender.blocking_send(Err(error));
    }
}
