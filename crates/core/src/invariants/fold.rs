//! What a store holds after a list of writes.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_types::{
    ApplicationRecord, ApplicationUid, Commit, DriverRecord, DriverUid, EventsRecord, ExecutorId, ExecutorRecord,
    ExecutorsRecord, RoleBindings, Snapshot, TokenId, TokenRecord, WorkerRecord, WorkerUid, Write,
};

/// Durable records by key.
#[derive(Debug, Clone, Default)]
pub struct Fold {
    /// Drivers.
    pub drivers: BTreeMap<DriverUid, Arc<DriverRecord>>,
    /// Applications.
    pub applications: BTreeMap<ApplicationUid, Arc<ApplicationRecord>>,
    /// Executor records by application and sequence.
    pub executors: BTreeMap<(ApplicationUid, u64), Arc<ExecutorsRecord>>,
    /// Workers.
    pub workers: BTreeMap<WorkerUid, Arc<WorkerRecord>>,
    /// Tokens.
    pub tokens: BTreeMap<TokenId, Arc<TokenRecord>>,
    /// Roles of users and groups.
    pub roles: Arc<RoleBindings>,
    /// Events.
    pub events: BTreeMap<Commit, Arc<EventsRecord>>,
    /// Writes so far.
    pub commit: Commit,
}

impl Fold {
    /// Applies one write.
    pub fn apply(&mut self, write: &Write) {
        match write {
            Write::PutDriver(record) => drop(self.drivers.insert(record.uid, Arc::clone(record))),
            Write::DeleteDriver(uid) => drop(self.drivers.remove(uid)),
            Write::PutApplication(record) => drop(self.applications.insert(record.uid, Arc::clone(record))),
            Write::DeleteApplication(uid) => drop(self.applications.remove(uid)),
            Write::PutExecutors(record) => {
                self.executors.insert((record.application, record.sequence), Arc::clone(record));
            }
            Write::DeleteExecutors(uid, sequence) => drop(self.executors.remove(&(*uid, *sequence))),
            Write::PutWorker(record) => drop(self.workers.insert(record.uid, Arc::clone(record))),
            Write::DeleteWorker(uid) => drop(self.workers.remove(uid)),
            Write::PutToken(record) => drop(self.tokens.insert(record.id, Arc::clone(record))),
            Write::DeleteToken(id) => drop(self.tokens.remove(id)),
            Write::PutRoles(roles) => self.roles = Arc::clone(roles),
            Write::PutEvents(record) => drop(self.events.insert(record.commit, Arc::clone(record))),
            Write::DeleteEvents(commit) => drop(self.events.remove(commit)),
        }
        self.commit = self.commit.next();
    }

    /// The state as a new leader would load it.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            commit: self.commit,
            drivers: self.drivers.values().cloned().collect(),
            applications: self.applications.values().cloned().collect(),
            executors: self.executors.values().cloned().collect(),
            workers: self.workers.values().cloned().collect(),
            tokens: self.tokens.values().cloned().collect(),
            roles: self.roles.clone(),
            events: self.events.values().cloned().collect(),
            quarantined: Vec::new(),
        }
    }

    /// The newest entry of one executor.
    pub fn executor(&self, uid: ApplicationUid, id: ExecutorId) -> Option<&ExecutorRecord> {
        let newest_first = self.executors.range((uid, 0)..=(uid, u64::MAX)).rev();
        newest_first.flat_map(|(_, record)| &record.executors).find(|executor| executor.id == id)
    }

    /// The executors of an application: the newest entry of each.
    pub fn executors_of(&self, uid: ApplicationUid) -> BTreeMap<ExecutorId, &ExecutorRecord> {
        let records = self.executors.range((uid, 0)..=(uid, u64::MAX));
        records.flat_map(|(_, record)| record.executors.iter().map(|executor| (executor.id, executor))).collect()
    }
}
