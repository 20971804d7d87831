//! All records of a store by their keys, in the memory of a process.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_types::{
    ApplicationRecord, ApplicationUid, Commit, DriverRecord, DriverUid, EventsRecord, ExecutorsRecord,
    QuarantinedRecord, RoleBindings, Snapshot, TokenId, TokenRecord, WorkerRecord, WorkerUid, Write,
};

use crate::codec::{DecodeError, Stored};
use crate::key::Key;

/// The records, and the errors of unreadable ones.
#[derive(Debug, Default, Clone)]
pub(crate) struct Records {
    drivers: BTreeMap<DriverUid, Arc<DriverRecord>>,
    applications: BTreeMap<ApplicationUid, Arc<ApplicationRecord>>,
    executors: BTreeMap<(ApplicationUid, u64), Arc<ExecutorsRecord>>,
    workers: BTreeMap<WorkerUid, Arc<WorkerRecord>>,
    tokens: BTreeMap<TokenId, Arc<TokenRecord>>,
    roles: Arc<RoleBindings>,
    events: BTreeMap<Commit, Arc<EventsRecord>>,
    /// The errors of unreadable records, by name.
    quarantined: BTreeMap<String, String>,
}

impl Records {
    /// Sets the value of a key, or quarantines it if it cannot be read.
    pub(crate) fn put(&mut self, key: Key, value: &[u8]) {
        match self.decode(key, value) {
            Ok(()) => drop(self.quarantined.remove(&key.to_string())),
            Err(error) => {
                self.delete(key);
                self.quarantined.insert(key.to_string(), error.to_string());
            }
        }
    }

    /// Quarantines a value whose key is of no known kind.
    pub(crate) fn put_unknown(&mut self, name: String) {
        self.quarantined.insert(name, "a key of no known kind".to_owned());
    }

    /// Removes the quarantined value of this name.
    pub(crate) fn delete_unknown(&mut self, name: &str) {
        self.quarantined.remove(name);
    }

    /// Deletes the record of a key.
    pub(crate) fn delete(&mut self, key: Key) {
        match key {
            Key::Driver(uid) => drop(self.drivers.remove(&uid)),
            Key::Application(uid) => drop(self.applications.remove(&uid)),
            Key::Executors(application, sequence) => drop(self.executors.remove(&(application, sequence))),
            Key::Worker(uid) => drop(self.workers.remove(&uid)),
            Key::Token(id) => drop(self.tokens.remove(&id)),
            Key::Roles => self.roles = Arc::default(),
            Key::Events(commit) => drop(self.events.remove(&commit)),
        }
        if !self.quarantined.is_empty() {
            self.quarantined.remove(&key.to_string());
        }
    }

    /// Applies a write.
    pub(crate) fn apply(&mut self, write: Write) {
        match write {
            Write::PutDriver(record) => drop(self.drivers.insert(record.uid, record)),
            Write::PutApplication(record) => drop(self.applications.insert(record.uid, record)),
            Write::PutExecutors(record) => {
                drop(self.executors.insert((record.application, record.sequence), record));
            }
            Write::PutWorker(record) => drop(self.workers.insert(record.uid, record)),
            Write::PutToken(record) => drop(self.tokens.insert(record.id, record)),
            Write::PutRoles(roles) => self.roles = roles,
            Write::PutEvents(record) => drop(self.events.insert(record.commit, record)),
            Write::DeleteDriver(_)
            | Write::DeleteApplication(_)
            | Write::DeleteExecutors(..)
            | Write::DeleteWorker(_)
            | Write::DeleteToken(_)
            | Write::DeleteEvents(_) => self.delete(Key::of(&write)),
        }
    }

    /// All records, as of this commit.
    pub(crate) fn snapshot(&self, commit: Commit) -> Snapshot {
        Snapshot {
            commit,
            drivers: self.drivers.values().cloned().collect(),
            applications: self.applications.values().cloned().collect(),
            executors: self.executors.values().cloned().collect(),
            workers: self.workers.values().cloned().collect(),
            tokens: self.tokens.values().cloned().collect(),
            roles: self.roles.clone(),
            events: self.events.values().cloned().collect(),
            quarantined: self.quarantined(),
        }
    }

    /// The write that sets a key to its present value.
    pub(crate) fn write_of(&self, key: Key) -> Write {
        match key {
            Key::Driver(uid) => self.drivers.get(&uid).cloned().map_or(Write::DeleteDriver(uid), Write::PutDriver),
            Key::Application(uid) => {
                self.applications.get(&uid).cloned().map_or(Write::DeleteApplication(uid), Write::PutApplication)
            }
            Key::Executors(uid, sequence) => {
                let record = self.executors.get(&(uid, sequence)).cloned();
                record.map_or(Write::DeleteExecutors(uid, sequence), Write::PutExecutors)
            }
            Key::Worker(uid) => self.workers.get(&uid).cloned().map_or(Write::DeleteWorker(uid), Write::PutWorker),
            Key::Token(id) => self.tokens.get(&id).cloned().map_or(Write::DeleteToken(id), Write::PutToken),
            Key::Roles => Write::PutRoles(self.roles.clone()),
            Key::Events(commit) => {
                self.events.get(&commit).cloned().map_or(Write::DeleteEvents(commit), Write::PutEvents)
            }
        }
    }

    /// The commits whose events are stored.
    pub(crate) fn events(&self) -> impl Iterator<Item = Commit> {
        self.events.keys().copied()
    }

    /// The records that cannot be read.
    pub(crate) fn quarantined(&self) -> Vec<QuarantinedRecord> {
        let quarantined = self.quarantined.iter();
        quarantined.map(|(key, error)| QuarantinedRecord { key: key.clone(), error: error.clone() }).collect()
    }

    /// Every record in its stored form, without the quarantined ones.
    pub(crate) fn encoded(&self) -> impl Iterator<Item = (Key, Vec<u8>)> {
        let applications = self.applications.values().map(|record| (Key::Application(record.uid), record.encode()));
        let drivers = self.drivers.values().map(|record| (Key::Driver(record.uid), record.encode()));
        let events = self.events.values().map(|record| (Key::Events(record.commit), record.encode()));
        let workers = self.workers.values().map(|record| (Key::Worker(record.uid), record.encode()));
        let tokens = self.tokens.values().map(|record| (Key::Token(record.id), record.encode()));
        let roles = (!self.roles.0.is_empty()).then(|| (Key::Roles, self.roles.encode()));
        let executors = self
            .executors
            .values()
            .map(|record| (Key::Executors(record.application, record.sequence), record.encode()));
        applications.chain(drivers).chain(events).chain(workers).chain(tokens).chain(roles).chain(executors)
    }

    fn decode(&mut self, key: Key, value: &[u8]) -> Result<(), DecodeError> {
        match key {
            Key::Driver(uid) => {
                let record = keyed(value, |record: &DriverRecord| record.uid == uid)?;
                self.drivers.insert(uid, record);
            }
            Key::Application(uid) => {
                let record = keyed(value, |record: &ApplicationRecord| record.uid == uid)?;
                self.applications.insert(uid, record);
            }
            Key::Executors(application, sequence) => {
                let own = |record: &ExecutorsRecord| (record.application, record.sequence) == (application, sequence);
                self.executors.insert((application, sequence), keyed(value, own)?);
            }
            Key::Worker(uid) => {
                let record = keyed(value, |record: &WorkerRecord| record.uid == uid)?;
                self.workers.insert(uid, record);
            }
            Key::Token(id) => {
                let record = keyed(value, |record: &TokenRecord| record.id == id)?;
                self.tokens.insert(id, record);
            }
            Key::Roles => self.roles = keyed(value, |_: &RoleBindings| true)?,
            Key::Events(commit) => {
                let record = keyed(value, |record: &EventsRecord| record.commit == commit)?;
                self.events.insert(commit, record);
            }
        }
        Ok(())
    }
}

/// Decodes a record, and checks that it belongs to its key.
fn keyed<T: Stored>(value: &[u8], is_own: impl FnOnce(&T) -> bool) -> Result<Arc<T>, DecodeError> {
    let record = T::decode(value)?;
    if is_own(&record) { Ok(Arc::new(record)) } else { Err(DecodeError::Key) }
}

/// Whether a write makes or replaces something.
pub(crate) fn is_put(write: &Write) -> bool {
    match write {
        Write::PutDriver(_)
        | Write::PutApplication(_)
        | Write::PutExecutors(_)
        | Write::PutWorker(_)
        | Write::PutToken(_)
        | Write::PutRoles(_)
        | Write::PutEvents(_) => true,
        Write::DeleteDriver(_)
        | Write::DeleteApplication(_)
        | Write::DeleteExecutors(..)
        | Write::DeleteWorker(_)
        | Write::DeleteToken(_)
        | Write::DeleteEvents(_) => false,
    }
}

/// The stored form of a write's record; `None` for one that deletes.
pub(crate) fn encoded(write: &Write) -> Option<Vec<u8>> {
    match write {
        Write::PutDriver(record) => Some(record.encode()),
        Write::PutApplication(record) => Some(record.encode()),
        Write::PutExecutors(record) => Some(record.encode()),
        Write::PutWorker(record) => Some(record.encode()),
        Write::PutToken(record) => Some(record.encode()),
        Write::PutRoles(roles) => Some(roles.encode()),
        Write::PutEvents(record) => Some(record.encode()),
        Write::DeleteDriver(_)
        | Write::DeleteApplication(_)
        | Write::DeleteExecutors(..)
        | Write::DeleteWorker(_)
        | Write::DeleteToken(_)
        | Write::DeleteEvents(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;

    #[test]
    fn a_record_that_cannot_be_read_is_set_aside_until_it_is_written_anew() {
        let driver = Sample::new(1).driver();
        let key = Key::Driver(driver.uid);
        let mut records = Records::default();
        records.put(key, &driver.encode());
        records.put(key, b"no record");
        let snapshot = records.snapshot(Commit(1));
        assert_eq!(snapshot.drivers, []);
        assert_eq!(snapshot.quarantined[0].key, key.to_string());
        records.put(key, &driver.encode());
        assert_eq!(records.snapshot(Commit(1)).drivers, [driver]);
        assert_eq!(records.snapshot(Commit(1)).quarantined, []);
        records.put(key, b"no record");
        records.delete(key);
        assert_eq!(records.snapshot(Commit(1)), Snapshot { commit: Commit(1), ..Snapshot::default() });
    }
}
