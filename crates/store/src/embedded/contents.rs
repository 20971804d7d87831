//! What is in the database: reading it whole, and turning transactions into changes of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use muster_types::{
    ApplicationRecord, ClusterRecord, Commit, DriverRecord, EventsRecord, ExecutorsRecord, QuarantinedRecord, Snapshot,
    WorkerRecord, Write,
};

use super::database::Records;
use super::ledger::{Ledger, Sum};
use crate::codec::proto::{EpochRecord, HeadRecord, SchemaRecord};
use crate::codec::{DecodeError, Stored};
use crate::key::{self, Key};

/// The newest form of the records that this program reads, and the one that it writes.
pub(super) const SCHEMA: u32 = 1;

/// Beside the records: no record's key begins with `m`.
pub(super) const SCHEMA_KEY: &[u8] = b"m/schema";
pub(super) const CLUSTER_KEY: &[u8] = b"m/cluster";
pub(super) const EPOCH_KEY: &[u8] = b"m/epoch";
pub(super) const HEAD_KEY: &[u8] = b"m/head";

/// Everything, read and found to be what was written.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) cluster: ClusterRecord,
    pub(super) epoch: EpochRecord,
    pub(super) snapshot: Snapshot,
    pub(super) ledger: Ledger,
}

/// The contents could not be read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The database failed, or found damage itself.
    Database(fjall::Error),
    /// One of the records that every store has.
    Meta(&'static [u8], Option<DecodeError>),
    /// A newer program wrote it.
    NewerSchema(u32),
    /// The records do not add up to what was written last.
    Sum {
        /// As read.
        found: Sum,
        /// As written.
        written: Sum,
    },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Database(error) => error.fmt(f),
            ReadError::Meta(key, None) => write!(f, "{} is missing", String::from_utf8_lossy(key)),
            ReadError::Meta(key, Some(_)) => write!(f, "{} cannot be read", String::from_utf8_lossy(key)),
            ReadError::NewerSchema(found) => write!(f, "schema {found} is newer than {SCHEMA}"),
            ReadError::Sum { found, written } => write!(
                f,
                "{} records with checksum {:016x} were found where {} with checksum {:016x} were written",
                found.count, found.digest, written.count, written.digest
            ),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ReadError::Database(error) => Some(error),
            ReadError::Meta(_, Some(error)) => Some(error),
            ReadError::Meta(_, None) | ReadError::NewerSchema(_) | ReadError::Sum { .. } => None,
        }
    }
}

impl From<fjall::Error> for ReadError {
    fn from(error: fjall::Error) -> ReadError {
        ReadError::Database(error)
    }
}

impl Contents {
    /// Reads everything.
    pub(super) fn read(records: &Records) -> Result<Contents, ReadError> {
        // First: in a newer schema nothing else need be as expected.
        let schema: SchemaRecord = meta(records, SCHEMA_KEY)?;
        if schema.version > SCHEMA {
            return Err(ReadError::NewerSchema(schema.version));
        }
        let head: HeadRecord = meta(records, HEAD_KEY)?;
        let mut contents = Contents {
            cluster: meta(records, CLUSTER_KEY)?,
            epoch: meta(records, EPOCH_KEY)?,
            snapshot: Snapshot { commit: Commit(head.commit), ..Snapshot::default() },
            ledger: Ledger::default(),
        };
        for entry in records.iter() {
            let (key, value) = entry?;
            if !key.starts_with(b"m/") {
                contents.take(&key, &value);
            }
        }
        let (found, written) = (contents.ledger.sum(), Sum { digest: head.digest, count: head.count });
        if found != written {
            return Err(ReadError::Sum { found, written });
        }
        key::sort(&mut contents.snapshot);
        Ok(contents)
    }

    /// Takes one record in; sets it aside if it cannot be read.
    fn take(&mut self, key_bytes: &[u8], value: &[u8]) {
        let Some(key) = Key::from_bytes(key_bytes) else {
            let key = key_bytes.escape_ascii().to_string();
            let error = "a key of no known kind".to_owned();
            self.snapshot.quarantined.push(QuarantinedRecord { key, error });
            return;
        };
        self.ledger.put(key, key_bytes, value);
        if let Err(error) = self.decode(key, value) {
            self.snapshot.quarantined.push(QuarantinedRecord { key: key.to_string(), error: error.to_string() });
        }
    }

    fn decode(&mut self, key: Key, value: &[u8]) -> Result<(), DecodeError> {
        let snapshot = &mut self.snapshot;
        match key {
            Key::Driver(uid) => snapshot.drivers.push(keyed(value, |record: &DriverRecord| record.uid == uid)?),
            Key::Application(uid) => {
                snapshot.applications.push(keyed(value, |record: &ApplicationRecord| record.uid == uid)?);
            }
            Key::Executors(application, sequence) => {
                let own = |record: &ExecutorsRecord| (record.application, record.sequence) == (application, sequence);
                snapshot.executors.push(keyed(value, own)?);
            }
            Key::Worker(uid) => snapshot.workers.push(keyed(value, |record: &WorkerRecord| record.uid == uid)?),
            Key::Events(commit) => snapshot.events.push(keyed(value, |record: &EventsRecord| record.commit == commit)?),
        }
        Ok(())
    }
}

/// A record that must be of the key it was found under.
fn keyed<T: Stored>(value: &[u8], is_own: impl FnOnce(&T) -> bool) -> Result<Arc<T>, DecodeError> {
    let record = T::decode(value)?;
    if is_own(&record) { Ok(Arc::new(record)) } else { Err(DecodeError::Key) }
}

fn meta<T: Stored>(records: &Records, key: &'static [u8]) -> Result<T, ReadError> {
    let value = records.get(key)?.ok_or(ReadError::Meta(key, None))?;
    T::decode(&value).map_err(|error| ReadError::Meta(key, Some(error)))
}

/// A change of one key: its new value, or `None` to remove it.
pub(super) type Change = (Vec<u8>, Option<Vec<u8>>);

/// What a new store begins with.
pub(super) fn founding(cluster: &ClusterRecord) -> Vec<Change> {
    vec![
        (SCHEMA_KEY.to_vec(), Some(SchemaRecord { version: SCHEMA }.encode())),
        (CLUSTER_KEY.to_vec(), Some(cluster.encode())),
        (EPOCH_KEY.to_vec(), Some(EpochRecord { generation: 1, revision: 0 }.encode())),
        (HEAD_KEY.to_vec(), Some(HeadRecord::default().encode())),
    ]
}

/// The changes that a transaction makes, its head among them; the ledger is then as after it.
pub(super) fn changes(commit: Commit, writes: &[Write], ledger: &mut Ledger) -> Vec<Change> {
    // The database takes no key twice in one transaction; a later write of a key replaces an earlier.
    let newest: BTreeMap<Key, &Write> = writes.iter().map(|write| (Key::of(write), write)).collect();
    let mut changes = Vec::with_capacity(newest.len() + 1);
    for (key, write) in newest {
        let key_bytes = key.to_bytes();
        let value = encode(write);
        match &value {
            Some(value) => ledger.put(key, &key_bytes, value),
            None => ledger.delete(key),
        }
        changes.push((key_bytes, value));
    }
    let Sum { digest, count } = ledger.sum();
    changes.push((HEAD_KEY.to_vec(), Some(HeadRecord { commit: commit.0, digest, count }.encode())));
    changes
}

fn encode(write: &Write) -> Option<Vec<u8>> {
    match write {
        Write::PutDriver(record) => Some(record.encode()),
        Write::PutApplication(record) => Some(record.encode()),
        Write::PutExecutors(record) => Some(record.encode()),
        Write::PutWorker(record) => Some(record.encode()),
        Write::PutEvents(record) => Some(record.encode()),
        Write::DeleteDriver(_)
        | Write::DeleteApplication(_)
        | Write::DeleteExecutors(..)
        | Write::DeleteWorker(_)
        | Write::DeleteEvents(_) => None,
    }
}
