//! Every record in the memory of a process that waits to lead, and what it has not said of them
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
    /// What changed since it was handed over last; nothing before it was handed over whole.
    changed: Option<BTreeSet<Key>>,
}

/// The copy, while there is one; taken out by whoever wins.
pub(super) type SharedReplica = Arc<Mutex<Option<Replica>>>;

impl Replica {
    /// One that was just read.
    pub(super) fn new(revision: i64, commit: Commit, records: Records) -> Replica {
        Replica { revision, commit, records, changed: None }
    }

    /// Takes in what a key now holds.
    pub(super) fn put(&mut self, key: Key, value: &[u8]) {
        self.records.put(key, value);
        self.note(key);
    }

    /// What a key held is gone.
    pub(super) fn delete(&mut self, key: Key) {
        self.records.delete(key);
        self.note(key);
    }

    fn note(&mut self, key: Key) {
        if let Some(changed) = &mut self.changed {
            changed.insert(key);
        }
    }

    /// Everything.
    pub(super) fn snapshot(&self) -> Snapshot {
        self.records.snapshot(self.commit)
    }

    /// What was not handed over yet.
    pub(super) fn update(&mut self) -> ReplicaUpdate {
        let Some(changed) = self.changed.replace(BTreeSet::new()) else { return ReplicaUpdate::Full(self.snapshot()) };
        let mut writes: Vec<_> = changed.into_iter().map(|key| self.records.write_of(key)).collect();
        // A name that a deleted record had may be that of another now.
        writes.sort_by_key(crate::records::is_put);
        ReplicaUpdate::Delta(RecordChanges { commit: self.commit, writes, quarantined: self.records.quarantined() })
    }
}

/// What a process that waits to lead knows of the records, for one who prepares for it. Nothing
/// where nobody else can lead. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct ReplicaHandle(Option<SharedReplica>);

impl ReplicaHandle {
    pub(super) fn new(replica: SharedReplica) -> ReplicaHandle {
        ReplicaHandle(Some(replica))
    }

    /// What was learned since this was last called, by anyone, or by [`crate::Store::catch_up`];
    /// `None` while there is no copy.
    pub fn update(&self) -> Option<ReplicaUpdate> {
        let mut replica = self.0.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        replica.as_mut().map(Replica::update)
    }

    /// What was handed over is lost: the next is everything.
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
