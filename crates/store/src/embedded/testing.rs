//! Changes a closed store in ways that no program of ours does.

use std::path::Path;

use muster_types::DriverUid;

use super::contents::{Change, Contents, HEAD_KEY, SCHEMA_KEY};
use super::database::Database;
use crate::codec::Stored as _;
use crate::codec::proto::{HeadRecord, SchemaRecord};
use crate::key::Key;

fn write(directory: &Path, changes: Vec<Change>) {
    Database::open(&directory.join("records")).unwrap().write(changes).unwrap();
}

/// Sets the bytes of a driver's record, and the sum to match.
pub(crate) fn overwrite(directory: &Path, uid: DriverUid, value: &[u8]) {
    let database = Database::open(&directory.join("records")).unwrap();
    let mut contents = Contents::read(&database).unwrap();
    let key = Key::Driver(uid);
    contents.checksums.put(key, &key.to_bytes(), value);
    let sum = contents.checksums.sum();
    let head = HeadRecord { commit: contents.commit.0, digest: sum.digest, count: sum.count };
    let head = (HEAD_KEY.to_vec(), Some(head.encode()));
    database.write(vec![(key.to_bytes(), Some(value.to_vec())), head]).unwrap();
}

/// Sets the bytes of a driver's record without a change of the sum.
pub(crate) fn overwrite_unnoticed(directory: &Path, uid: DriverUid, value: &[u8]) {
    write(directory, vec![(Key::Driver(uid).to_bytes(), Some(value.to_vec()))]);
}

/// Sets the schema of the store.
pub(crate) fn set_schema(directory: &Path, version: u32) {
    write(directory, vec![(SCHEMA_KEY.to_vec(), Some(SchemaRecord { version }.encode()))]);
}
