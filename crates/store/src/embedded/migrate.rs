//! From an older form of the records to today's: all of them, in one transaction of the database.

use super::contents::{Change, HEAD_KEY, ReadError, SCHEMA_KEY, meta};
use super::database::Database;
use super::ledger::{Ledger, Sum};
use crate::codec::Stored as _;
use crate::codec::proto::{HeadRecord, SchemaRecord};
use crate::key::Key;
use crate::schema::Schema;

/// Does nothing where there is nothing to do.
pub(super) fn migrate(database: &Database, schema: Schema) -> Result<(), ReadError> {
    let found: SchemaRecord = meta(database, SCHEMA_KEY)?;
    if found.version >= schema.version() {
        return Ok(());
    }
    tracing::info!(from = found.version, to = schema.version(), "bringing the records into a newer form");
    let head: HeadRecord = meta(database, HEAD_KEY)?;
    let (mut changes, mut before, mut after) = (Vec::<Change>::new(), Ledger::default(), Ledger::default());
    for entry in database.iter() {
        let (key_bytes, value) = entry?;
        let Some(key) = Key::from_bytes(&key_bytes) else { continue };
        before.put(key, &key_bytes, &value);
        let lifted = schema.lift(found.version, key, value.to_vec()).map_err(|error| ReadError::Lift(key, error))?;
        after.put(key, &key_bytes, &lifted);
        changes.push((key_bytes.to_vec(), Some(lifted)));
    }
    // What is not what was written is not carried over as if it were.
    let (found, written) = (before.sum(), Sum { digest: head.digest, count: head.count });
    if found != written {
        return Err(ReadError::Sum { found, written });
    }
    let Sum { digest, count } = after.sum();
    changes.push((HEAD_KEY.to_vec(), Some(HeadRecord { commit: head.commit, digest, count }.encode())));
    changes.push((SCHEMA_KEY.to_vec(), Some(SchemaRecord { version: schema.version() }.encode())));
    Ok(database.write(changes)?)
}

#[cfg(test)]
mod tests {
    use super::super::contents::{Contents, founding};
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
        database.write(founding(&cluster)).unwrap();
        let (mut ledger, key) = (Ledger::default(), Key::Driver(DriverUid(7)));
        ledger.put(key, &key.to_bytes(), b"old");
        let Sum { digest, count } = ledger.sum();
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
        assert!(matches!(Contents::read(&database).unwrap_err(), ReadError::NewerSchema(2)), "ours is older");
    }

    #[test]
    fn a_store_that_does_not_add_up_is_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(directory.path()).unwrap();
        let cluster = ClusterRecord { uid: ClusterUid(1), name: "c".into(), created: WallTime(1) };
        database.write(founding(&cluster)).unwrap();
        let key = Key::Driver(DriverUid(7)).to_bytes();
        database.write(vec![(key.clone(), Some(b"old".to_vec()))]).unwrap();
        let error = migrate(&database, Schema::with_steps(&[append])).unwrap_err();
        assert!(matches!(error, ReadError::Sum { .. }), "{error}");
        assert_eq!(&*database.get(&key).unwrap().unwrap(), b"old");
    }
}
