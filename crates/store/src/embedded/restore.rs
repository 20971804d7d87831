//! Makes a store in a directory from a backup, and raises the generation of a store. Both are
//! offline: they hold the lock of the directory.

use std::path::Path;

use super::checksums::RecordChecksums;
use super::contents::{CLUSTER_KEY, Change, EPOCH_KEY, HEAD_KEY, SCHEMA_KEY};
use super::database::Database;
use super::keeper::{MARK, OWN, RECORDS, StoreThread, begin_unfinished, finish};
use crate::backup::Verified;
use crate::codec::Stored as _;
use crate::codec::proto::{EpochRecord, HeadRecord, SchemaRecord};
use crate::directory::Directory;
use crate::schema::SCHEMA;
use crate::{OpenError, RestoreError};

/// The number of records per sync.
const BATCH: usize = 4096;

/// Fills an empty directory. The database has another name until it is complete.
pub(crate) fn restore(path: &Path, backup: &Verified) -> Result<(), RestoreError> {
    let directory = Directory::take(path, OWN)?;
    let exists = |name: &str| directory.join(name).symlink_metadata().is_ok();
    if exists(RECORDS) || exists(MARK) {
        return Err(RestoreError::NotEmpty { store: path.display().to_string() });
    }
    let unfinished = begin_unfinished(&directory)?;
    let failed = |source: fjall::Error| OpenError::Database { path: unfinished.clone(), source: source.into() };
    let database = Database::open(&unfinished).map_err(failed)?;
    let (mut batch, mut checksums): (Vec<Change>, RecordChecksums) = (Vec::new(), RecordChecksums::default());
    for record in backup.records()? {
        let (key, value) = record?;
        let key_bytes = key.to_bytes();
        checksums.put(key, &key_bytes, &value);
        batch.push((key_bytes, Some(value)));
        if batch.len() >= BATCH {
            database.write(std::mem::take(&mut batch)).map_err(failed)?;
        }
    }
    let (restored, sum) = (&backup.restored, checksums.sum());
    let head = HeadRecord { commit: restored.commit.0, digest: sum.digest, count: sum.count };
    batch.push((HEAD_KEY.to_vec(), Some(head.encode())));
    batch.push((CLUSTER_KEY.to_vec(), Some(restored.cluster.encode())));
    batch.push((EPOCH_KEY.to_vec(), Some(EpochRecord { generation: restored.generation, revision: 0 }.encode())));
    batch.push((SCHEMA_KEY.to_vec(), Some(SchemaRecord { version: SCHEMA }.encode())));
    database.write(batch).map_err(failed)?;
    drop(database);
    finish(&directory)?;
    Ok(())
}

/// Raises the generation of the store, and returns the new one.
pub(crate) fn recover(path: &Path) -> Result<u64, OpenError> {
    if !path.join(RECORDS).is_dir() {
        return Err(OpenError::Nothing { store: path.display().to_string() });
    }
    StoreThread::open(path, None)?.raise_generation()
}
