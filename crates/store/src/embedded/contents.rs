//! The contents of the database: reads all of it, and turns transactions into changes of it.

use std::collections::BTreeMap;

use muster_types::{ClusterRecord, Commit, Write};

use super::checksums::{Checksum, RecordChecksums};
use super::database::Database;
use crate::codec::proto::{EpochRecord, HeadRecord, SchemaRecord};
use crate::codec::{DecodeError, Stored};
use crate::key::Key;
use crate::records::{Records, encoded};
use crate::schema::SCHEMA;

/// Keys beside the records: no record's key begins with `m`.
pub(super) const SCHEMA_KEY: &[u8] = b"m/schema";
pub(super) const CLUSTER_KEY: &[u8] = b"m/cluster";
pub(super) const EPOCH_KEY: &[u8] = b"m/epoch";
pub(super) const HEAD_KEY: &[u8] = b"m/head";

/// The verified contents of a store.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) cluster: ClusterRecord,
    pub(super) epoch: EpochRecord,
    pub(super) commit: Commit,
    pub(super) records: Records,
    pub(super) checksums: RecordChecksums,
}

/// The contents could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ContentsError {
    /// The database failed, or found damage itself.
    #[error("{0}")]
    Database(#[from] fjall::Error),
    /// A record that every store has is missing or unreadable.
    #[error("{} {}", String::from_utf8_lossy(.0), if .1.is_some() { "cannot be read" } else { "is missing" })]
    Meta(&'static [u8], #[source] Option<DecodeError>),
    /// A record of an older schema could not be migrated.
    #[error("{0} cannot be brought into a newer form")]
    Lift(Key, #[source] DecodeError),
    /// A newer program wrote it.
    #[error("schema {0} is newer than {SCHEMA}")]
    NewerSchema(u32),
    /// The records do not have the sum that was written last.
    #[error("{} records with checksum {:016x} were found where {} with checksum {:016x} were written",
        .found.count, .found.digest, .written.count, .written.digest)]
    Sum {
        /// As read.
        found: Checksum,
        /// As written.
        written: Checksum,
    },
}

impl Contents {
    /// Reads and verifies everything.
    pub(super) fn read(database: &Database) -> Result<Contents, ContentsError> {
        // The schema is read first, because in a newer one all other keys may differ.
        let schema: SchemaRecord = meta(database, SCHEMA_KEY)?;
        if schema.version > SCHEMA {
            return Err(ContentsError::NewerSchema(schema.version));
        }
        let head: HeadRecord = meta(database, HEAD_KEY)?;
        let mut contents = Contents {
            cluster: meta(database, CLUSTER_KEY)?,
            epoch: meta(database, EPOCH_KEY)?,
            commit: Commit(head.commit),
            records: Records::default(),
            checksums: RecordChecksums::default(),
        };
        for entry in database.iter() {
            let (key, value) = entry?;
            if !key.starts_with(b"m/") {
                contents.take(&key, &value);
            }
        }
        let (found, written) = (contents.checksums.sum(), Checksum { digest: head.digest, count: head.count });
        if found != written {
            return Err(ContentsError::Sum { found, written });
        }
        Ok(contents)
    }

    /// Adds one record; an unreadable one is quarantined.
    fn take(&mut self, key_bytes: &[u8], value: &[u8]) {
        let Some(key) = Key::from_bytes(key_bytes) else {
            self.records.put_unknown(key_bytes.escape_ascii().to_string());
            return;
        };
        self.checksums.put(key, key_bytes, value);
        self.records.put(key, value);
    }
}

pub(super) fn meta<T: Stored>(database: &Database, key: &'static [u8]) -> Result<T, ContentsError> {
    let value = database.get(key)?.ok_or(ContentsError::Meta(key, None))?;
    T::decode(&value).map_err(|error| ContentsError::Meta(key, Some(error)))
}

/// A change of one key: its new value, or `None` to remove it.
pub(super) type Change = (Vec<u8>, Option<Vec<u8>>);

/// The first content of a new store.
pub(super) fn new_cluster(cluster: &ClusterRecord) -> Vec<Change> {
    vec![
        (SCHEMA_KEY.to_vec(), Some(SchemaRecord { version: SCHEMA }.encode())),
        (CLUSTER_KEY.to_vec(), Some(cluster.encode())),
        (EPOCH_KEY.to_vec(), Some(EpochRecord { generation: 1, revision: 0 }.encode())),
        (HEAD_KEY.to_vec(), Some(HeadRecord::default().encode())),
    ]
}

/// The changes of a transaction, its head among them. `checksums` then includes the transaction.
pub(super) fn changes(commit: Commit, writes: &[Write], checksums: &mut RecordChecksums) -> Vec<Change> {
    // The database accepts each key once per transaction; a later write of a key replaces an
    // earlier one.
    let newest: BTreeMap<Key, &Write> = writes.iter().map(|write| (Key::of(write), write)).collect();
    let mut changes = Vec::with_capacity(newest.len() + 1);
    for (key, write) in newest {
        let key_bytes = key.to_bytes();
        let value = encoded(write);
        match &value {
            Some(value) => checksums.put(key, &key_bytes, value),
            None => checksums.delete(key),
        }
        changes.push((key_bytes, value));
    }
    let Checksum { digest, count } = checksums.sum();
    changes.push((HEAD_KEY.to_vec(), Some(HeadRecord { commit: commit.0, digest, count }.encode())));
    changes
}
