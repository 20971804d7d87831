//! Every record in the memory of a process that waits to lead, and what it has not said of them yet.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use muster_types::{Commit, Snapshot};

use crate::key::Key;
use crate::records::Records;
use crate::{Changes, News};

/// Every record at one revision.
#[derive(Debug, Default)]
pub(super) struct Copy {
    pub(super) revision: i64,
    pub(super) commit: Commit,
    pub(super) records: Records,
    /// What changed since it was handed over last; nothing before it was handed over whole.
    changed: Option<BTreeSet<Key>>,
}

/// The copy, while there is one; taken out by whoever wins.
pub(super) type Shelf = Arc<Mutex<Option<Copy>>>;

impl Copy {
    /// One that was just read.
    pub(super) fn new(revision: i64, commit: Commit, records: Records) -> Copy {
        Copy { revision, commit, records, changed: None }
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
    pub(super) fn news(&mut self) -> News {
        let Some(changed) = self.changed.replace(BTreeSet::new()) else { return News::Anew(self.snapshot()) };
        let mut writes: Vec<_> = changed.into_iter().map(|key| self.records.write_of(key)).collect();
        // A name that a deleted record had may be that of another now.
        writes.sort_by_key(crate::records::is_put);
        News::Changed(Changes { commit: self.commit, writes, quarantined: self.records.quarantined() })
    }
}

/// What a process that waits to lead knows of the records, for one who prepares for it. Nothing where nobody else can lead. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Replica(Option<Shelf>);

impl Replica {
    pub(super) fn new(shelf: Shelf) -> Replica {
        Replica(Some(shelf))
    }

    /// What was learned since this was last called, by anyone, or by [`crate::Store::catch_up`]; `None` while there is no copy.
    pub fn news(&self) -> Option<News> {
        let mut shelf = self.0.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.as_mut().map(Copy::news)
    }

    /// What was handed over is lost: the next is everything.
    pub fn forget(&self) {
        if let Some(shelf) = &self.0
            && let Some(copy) = shelf.lock().unwrap_or_else(PoisonError::into_inner).as_mut()
        {
            copy.changed = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Stored as _;
    use crate::sample::Sample;
    use muster_types::Write;

    fn put(copy: &mut Copy, record: &Arc<muster_types::DriverRecord>) -> Key {
        let key = Key::Driver(record.uid);
        copy.put(key, &record.encode());
        key
    }

    fn writes(news: News) -> Vec<Write> {
        match news {
            News::Changed(changes) => changes.writes,
            News::Anew(snapshot) => panic!("{snapshot:?}"),
        }
    }

    #[test]
    fn what_changed_is_said_once_and_deletions_first() {
        let (first, second) = (Sample::new(1).driver(), Sample::new(2).driver());
        let mut copy = Copy::default();
        let key = put(&mut copy, &first);
        assert!(matches!(copy.news(), News::Anew(snapshot) if snapshot.drivers == [first.clone()]));
        assert_eq!(writes(copy.news()), []);
        put(&mut copy, &second);
        put(&mut copy, &first);
        copy.delete(key);
        assert_eq!(writes(copy.news()), [Write::DeleteDriver(first.uid), Write::PutDriver(second.clone())]);
        copy.put(key, b"no record");
        let News::Changed(changes) = copy.news() else { panic!("everything") };
        assert_eq!(changes.writes, [Write::DeleteDriver(first.uid)], "what cannot be read is not there");
        assert_eq!(changes.quarantined.len(), 1);
        let shelf = Shelf::new(Mutex::new(Some(copy)));
        Replica::new(shelf.clone()).forget();
        assert!(matches!(Replica::new(shelf).news(), Some(News::Anew(snapshot)) if snapshot.drivers == [second]));
    }
}
