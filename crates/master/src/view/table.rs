//! Records of one kind, found by name or uid and listed by name.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::str::FromStr;
use std::sync::Arc;

use muster_types::{DriverUid, WallTime};

/// A record of a table.
pub(crate) trait Named {
    /// Cheap to clone.
    type Name: Ord + Clone + Borrow<str> + for<'a> From<&'a str>;

    fn name(&self) -> Self::Name;
    fn uid(&self) -> u128;
    /// The word of its state, under which it is counted.
    fn state(&self) -> &'static str;
    /// Decides which of several records with one name is meant: one that is still in use before one
    /// that is not, and then the newest.
    fn claim(&self) -> (bool, WallTime);
}

/// How many there are in each state, by the state's word.
pub(crate) type StateCounts = BTreeMap<&'static str, u32>;

/// Records of one kind. Names need not be unique: a lost worker keeps its name beside the worker
/// that took it over.
pub(crate) struct NameTable<T: Named> {
    by_name: BTreeMap<(T::Name, u128), Arc<T>>,
    names: HashMap<u128, T::Name>,
    counts: StateCounts,
}

impl<T: Named> Default for NameTable<T> {
    fn default() -> Self {
        NameTable { by_name: BTreeMap::new(), names: HashMap::new(), counts: StateCounts::new() }
    }
}

impl<T: Named> NameTable<T> {
    /// Adds or replaces a record, by uid. A changed name moves it.
    pub(crate) fn put(&mut self, item: Arc<T>) {
        let (name, uid) = (item.name(), item.uid());
        *self.counts.entry(item.state()).or_default() += 1;
        match self.names.insert(uid, name.clone()) {
            Some(old) if old != name => self.take(old, uid),
            Some(_) | None => {}
        }
        if let Some(replaced) = self.by_name.insert((name, uid), item) {
            self.uncount(&replaced);
        }
    }

    pub(crate) fn remove(&mut self, uid: u128) {
        if let Some(name) = self.names.remove(&uid) {
            self.take(name, uid);
        }
    }

    /// Finds a record by uid, else by name, as the core does.
    pub(crate) fn find(&self, name: &str) -> Option<&Arc<T>> {
        let by_uid = DriverUid::from_str(name).ok().and_then(|uid| self.get(uid.0));
        by_uid.or_else(|| self.named(name))
    }

    pub(crate) fn get(&self, uid: u128) -> Option<&Arc<T>> {
        let name = self.names.get(&uid)?;
        self.by_name.get(&(name.clone(), uid))
    }

    /// All records after a place in the order of names.
    pub(crate) fn after<'a>(&'a self, place: Option<(&str, u128)>) -> impl Iterator<Item = &'a Arc<T>> + use<'a, T> {
        let start = match place {
            Some((name, uid)) => Bound::Excluded((T::Name::from(name), uid)),
            None => Bound::Unbounded,
        };
        self.by_name.range((start, Bound::Unbounded)).map(|(_, item)| item)
    }

    pub(crate) fn counts(&self) -> &StateCounts {
        &self.counts
    }

    fn named(&self, name: &str) -> Option<&Arc<T>> {
        let key = T::Name::from(name);
        self.by_name.range((key.clone(), 0)..=(key, u128::MAX)).map(|(_, item)| item).max_by_key(|item| item.claim())
    }

    fn take(&mut self, name: T::Name, uid: u128) {
        if let Some(item) = self.by_name.remove(&(name, uid)) {
            self.uncount(&item);
        }
    }

    fn uncount(&mut self, item: &T) {
        if let Some(count) = self.counts.get_mut(item.state()) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(item.state());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_types::WorkerName;

    struct Thing(&'static str, u128, &'static str);

    impl Named for Thing {
        type Name = WorkerName;
        fn name(&self) -> WorkerName {
            self.0.into()
        }
        fn uid(&self) -> u128 {
            self.1
        }
        fn state(&self) -> &'static str {
            self.2
        }
        fn claim(&self) -> (bool, WallTime) {
            (self.2 != "LOST", WallTime(0))
        }
    }

    fn uids<'a>(items: impl Iterator<Item = &'a Arc<Thing>>) -> Vec<u128> {
        items.map(|item| item.1).collect()
    }

    #[test]
    fn a_name_that_looks_like_a_uid_hides_nothing() {
        let mut table = NameTable::default();
        table.put(Arc::new(Thing("00000000000000000000000000000007", 8, "ALIVE")));
        assert_eq!(table.find(&format!("{:032x}", 7)).unwrap().1, 8);
        table.put(Arc::new(Thing("a", 7, "ALIVE")));
        assert_eq!(table.find(&format!("{:032x}", 7)).unwrap().1, 7);
    }

    #[test]
    fn finds_by_name_and_by_uid() {
        let mut table = NameTable::default();
        table.put(Arc::new(Thing("a", 7, "ALIVE")));
        assert_eq!(table.find("a").unwrap().1, 7);
        assert_eq!(table.find(&format!("{:032x}", 7)).unwrap().1, 7);
        assert!(table.find("b").is_none());
    }

    #[test]
    fn a_lost_one_yields_its_name() {
        let mut table = NameTable::default();
        table.put(Arc::new(Thing("a", 1, "LOST")));
        assert_eq!(table.find("a").unwrap().1, 1);
        table.put(Arc::new(Thing("a", 2, "ALIVE")));
        assert_eq!(table.find("a").unwrap().1, 2);
    }

    #[test]
    fn a_rename_moves_it_and_keeps_the_counts() {
        let mut table = NameTable::default();
        table.put(Arc::new(Thing("a", 1, "ALIVE")));
        table.put(Arc::new(Thing("b", 2, "ALIVE")));
        table.put(Arc::new(Thing("c", 1, "DISCONNECTED")));
        assert!(table.find("a").is_none());
        assert_eq!(uids(table.after(None)), [2, 1]);
        assert_eq!(*table.counts(), StateCounts::from([("ALIVE", 1), ("DISCONNECTED", 1)]));
        table.remove(1);
        assert_eq!(*table.counts(), StateCounts::from([("ALIVE", 1)]));
    }

    #[test]
    fn lists_after_a_place_that_is_gone() {
        let mut table = NameTable::default();
        for (name, uid) in [("a", 1), ("b", 2), ("c", 3)] {
            table.put(Arc::new(Thing(name, uid, "ALIVE")));
        }
        table.remove(2);
        assert_eq!(uids(table.after(Some(("b", 2)))), [3]);
    }
}
