//! The replica of all records in the memory of a standby, and the changes that were not handed over
//! yet.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use muster_types::{Commit, Snapshot};

use crate::key::Key;
use crate::records::Records;
use crate::{RecordChanges, ReplicaUpdate};

/// Every record at one revision.
#[derive(Debug, Default)]
pub(super) struct Replica {
    pub(super) revision: i64,
    pub(super) commit: Commit,
    pub(super) records: Records,
    /// The keys changed since the last update; `None` before the first, full one.
    changed: Option<BTreeSet<Key>>,
}

/// The replica, while there is one. The store of a won term takes it out.
pub(super) type SharedReplica = Arc<Mutex<Option<Replica>>>;

impl Replica {
    /// A replica of records that were just read.
    pub(super) fn new(revision: i64, commit: Commit, records: Records) -> Replica {
        Replica { revision, commit, records, changed: None }
    }

    /// Sets the value of a key.
    pub(super) fn put(&mut self, key: Key, value: &[u8]) {
        self.records.put(key, value);
        self.note(key);
    }

    /// Deletes a key.
    pub(super) fn delete(&mut self, key: Key) {
        self.records.delete(key);
        self.note(key);
    }

    fn note(&mut self, key: Key) {
        if let Some(changed) = &mut self.changed {
            changed.insert(key);
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.records.snapshot(self.commit)
    }

    /// The changes since the last update; all records the first time.
    pub(super) fn update(&mut self) -> ReplicaUpdate {
        let Some(changed) = self.changed.replace(BTreeSet::new()) else { return ReplicaUpdate::Full(self.snapshot()) };
        let mut writes: Vec<_> = changed.into_iter().map(|key| self.records.write_of(key)).collect();
        // Deletions come first, because another record may now have the name of a deleted one.
        writes.sort_by_key(crate::records::is_put);
        ReplicaUpdate::Delta(RecordChanges { commit: self.commit, writes, quarantined: self.records.quarantined() })
    }
}

/// A handle of a standby's replica, with which it prepares to lead. It is empty for a store that
/// only one process can hold. It is cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct ReplicaHandle(Option<SharedReplica>);

impl ReplicaHandle {
    pub(super) fn new(replica: SharedReplica) -> ReplicaHandle {
        ReplicaHandle(Some(replica))
    }

    /// The changes since the last call of this method on any clone, or of
    /// [`crate::Store::catch_up`]; `None` while there is no replica.
    pub fn update(&self) -> Option<ReplicaUpdate> {
        let mut replica = self.0.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        replica.as_mut().map(Replica::update)
    }

    /// Makes the next update a full one, because the earlier ones are lost.
    pub fn forget(&self) {
        if let Some(replica) = &self.0
            && let Some(replica) = replica.lock().unwrap_or_else(PoisonError::into_inner).as_mut()
        {
            replica.changed = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Stored as _;
    use crate::sample::Sample;
    use muster_types::Write;

    fn put(replica: &mut Replica, record: &Arc<muster_types::DriverRecord>) -> Key {
        let key = Key::Driver(record.uid);
        replica.put(key, &record.encode());
        key
    }

    fn writes(update: ReplicaUpdate) -> Vec<Write> {
        match update {
            ReplicaUpdate::Delta(changes) => changes.writes,
            ReplicaUpdate::Full(snapshot) => panic!("{snapshot:?}"),
        }
    }

    #[test]
    fn what_changed_is_said_once_and_deletions_first() {
        let (first, second) = (Sample::new(1).driver(), Sample::new(2).driver());
        let mut replica = Replica::default();
        let key = put(&mut replica, &first);
        assert!(matches!(replica.update(), ReplicaUpdate::Full(snapshot) if snapshot.drivers == [first.clone()]));
        assert_eq!(writes(replica.update()), []);
        put(&mut replica, &second);
        put(&mut replica, &first);
        replica.delete(key);
        assert_eq!(writes(replica.update()), [Write::DeleteDriver(first.uid), Write::PutDriver(second.clone())]);
        replica.put(key, b"no record");
        let ReplicaUpdate::Delta(changes) = replica.update() else { panic!("everything") };
        assert_eq!(changes.writes, [Write::DeleteDriver(first.uid)], "what cannot be read is not there");
        assert_eq!(changes.quarantined.len(), 1);
        let replica = SharedReplica::new(Mutex::new(Some(replica)));
        ReplicaHandle::new(replica.clone()).forget();
        assert!(
            matches!(ReplicaHandle::new(replica).update(), Some(ReplicaUpdate::Full(snapshot)) if snapshot.drivers == [second])
        );
    }
}
