//! Migrates all records from an older schema to the present one, in one transaction of the
//! database.

use super::checksums::{Checksum, RecordChecksums};
use super::contents::{Change, ContentsError, HEAD_KEY, SCHEMA_KEY, meta};
use super::database::Database;
use crate::codec::Stored as _;
use crate::codec::proto::{HeadRecord, SchemaRecord};
use crate::key::Key;
use crate::schema::Schema;

/// Migrates the database, unless its schema is new enough.
pub(super) fn migrate(database: &Database, schema: Schema) -> Result<(), ContentsError> {
    let found: SchemaRecord = meta(database, SCHEMA_KEY)?;
    if found.version >= schema.version() {
        return Ok(());
    }
    tracing::info!(from = found.version, to = schema.version(), "bringing the records into a newer form");
    let head: HeadRecord = meta(database, HEAD_KEY)?;
    let (mut changes, mut before, mut after) =
        (Vec::<Change>::new(), RecordChecksums::default(), RecordChecksums::default());
    for entry in database.iter() {
        let (key_bytes, value) = entry?;
        let Some(key) = Key::from_bytes(&key_bytes) else { continue };
        before.put(key, &key_bytes, &value);
        let lifted =
            schema.lift(found.version, key, value.to_vec()).map_err(|error| ContentsError::Lift(key, error))?;
        after.put(key, &key_bytes, &lifted);
        changes.push((key_bytes.to_vec(), Some(lifted)));
    }
    // Damaged records must not be carried over as if they were sound.
    let (found, written) = (before.sum(), Checksum { digest: head.digest, count: head.count });
    if found != written {
        return Err(ContentsError::Sum { found, written });
    }
    let Checksum { digest, count } = after.sum();
    changes.push((HEAD_KEY.to_vec(), Some(HeadRecord { commit: head.commit, digest, count }.encode())));
    changes.push((SCHEMA_KEY.to_vec(), Some(SchemaRecord { version: schema.version() }.encode())));
    Ok(database.write(changes)?)
}

#[cfg(test)]
mod tests {
    use super::super::contents::{Contents, new_cluster};
    use super::*;
    use crate::codec::DecodeError;
    use muster_types::{ClusterRecord, ClusterUid, DriverUid, WallTime};

    fn append(_: Key, mut value: Vec<u8>) -> Result<Vec<u8>, DecodeError> {
        value.push(b'2');
        Ok(value)
    }

    #[test]
    fn every_record_gets_the_newer_form_once() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(directory.path()).unwrap();
        let cluster = ClusterRecord { uid: ClusterUid(1), name: "c".into(), created: WallTime(1) };
        database.write(new_cluster(&cluster)).unwrap();
        let (mut checksums, key) = (RecordChecksums::default(), Key::Driver(DriverUid(7)));
        checksums.put(key, &key.to_bytes(), b"old");
        let Checksum { digest, count } = checksums.sum();
        let head = HeadRecord { commit: 3, digest, count }.encode();
        let changes = vec![(key.to_bytes(), Some(b"old".to_vec())), (HEAD_KEY.to_vec(), Some(head))];
        database.write(changes).unwrap();

        let newer = Schema::with_steps(&[append]);
        for _ in 0..2 {
            migrate(&database, newer).unwrap();
            assert_eq!(&*database.get(&key.to_bytes()).unwrap().unwrap(), b"old2");
            let schema: SchemaRecord = meta(&database, SCHEMA_KEY).unwrap();
            assert_eq!(schema.version, 2);
        }
        assert!(matches!(Contents::read(&database).unwrap_err(), ContentsError::NewerSchema(2)), "ours is older");
    }

    #[test]
    fn a_store_that_does_not_add_up_is_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(directory.path()).unwrap();
        let cluster = ClusterRecord { uid: ClusterUid(1), name: "c".into(), created: WallTime(1) };
        database.write(new_cluster(&cluster)).unwrap();
        let key = Key::Driver(DriverUid(7)).to_bytes();
        database.write(vec![(key.clone(), Some(b"old".to_vec()))]).unwrap();
        let error = migrate(&database, Schema::with_steps(&[append])).unwrap_err();
        assert!(matches!(error, ContentsError::Sum { .. }), "{error}");
        assert_eq!(&*database.get(&key).unwrap().unwrap(), b"old");
    }
}
