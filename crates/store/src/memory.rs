//! Records in the memory of the process: for tests, trials and simulation.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use muster_types::{
    ApplicationRecord, ApplicationUid, ClusterRecord, ClusterUid, Commit, DriverRecord, DriverUid, Epoch, EventsRecord,
    ExecutorsRecord, LeaderUid, Snapshot, WorkerRecord, WorkerUid, Write,
};

use crate::booth::Booth;
use crate::random::random_u128;
use crate::{
    CampaignError, Candidacy, Candidate, CommitError, Deadline, Election, Founding, Leader, LoadError, OpenError,
    Store, Transaction,
};

/// A candidate that always leads. Clones share the records: a test that "restarts" a master keeps a clone.
#[derive(Debug, Clone)]
pub struct MemoryCandidate {
    shared: Arc<Mutex<Shared>>,
    booth: Arc<Booth>,
}

/// The records, for one term.
#[derive(Debug)]
pub struct MemoryStore {
    shared: Arc<Mutex<Shared>>,
    revision: u64,
}

#[derive(Debug)]
struct Shared {
    cluster: ClusterRecord,
    revision: u64,
    records: Records,
}

#[derive(Debug, Default)]
struct Records {
    commit: Commit,
    drivers: BTreeMap<DriverUid, Arc<DriverRecord>>,
    applications: BTreeMap<ApplicationUid, Arc<ApplicationRecord>>,
    executors: BTreeMap<(ApplicationUid, u64), Arc<ExecutorsRecord>>,
    workers: BTreeMap<WorkerUid, Arc<WorkerRecord>>,
    events: BTreeMap<Commit, Arc<EventsRecord>>,
}

impl MemoryCandidate {
    /// A new, empty cluster.
    pub fn new(founding: Founding) -> Result<MemoryCandidate, OpenError> {
        let uid = ClusterUid(random_u128().map_err(|source| OpenError::Random { source })?);
        let cluster = ClusterRecord { uid, name: founding.name, created: founding.now };
        let shared = Shared { cluster, revision: 0, records: Records::default() };
        let booth = Booth::new(String::new(), env!("CARGO_PKG_VERSION").to_owned());
        Ok(MemoryCandidate { shared: Arc::new(Mutex::new(shared)), booth: Arc::new(booth) })
    }

    /// The same, under an address.
    #[must_use]
    pub fn standing_as(self, candidacy: Candidacy) -> MemoryCandidate {
        MemoryCandidate { booth: Arc::new(Booth::new(candidacy.address, candidacy.version)), ..self }
    }
}

impl Candidate for MemoryCandidate {
    type Store = MemoryStore;

    async fn campaign(&mut self) -> Result<Leader<MemoryStore>, CampaignError> {
        let leader = LeaderUid(random_u128().map_err(|source| CampaignError::Random { source })?);
        let mut shared = lock(&self.shared);
        shared.revision += 1;
        let epoch = Epoch { generation: 1, revision: shared.revision, leader };
        self.booth.won(epoch);
        Ok(Leader {
            epoch,
            cluster: shared.cluster.clone(),
            deadline: Deadline::never(),
            store: MemoryStore { shared: self.shared.clone(), revision: shared.revision },
        })
    }

    fn election(&self) -> Election {
        self.booth.election()
    }

    async fn resign(&mut self, _leader: Leader<MemoryStore>) {
        self.booth.resigned();
    }
}

impl Store for MemoryStore {
    async fn load(&mut self) -> Result<Snapshot, LoadError> {
        let shared = lock(&self.shared);
        if shared.revision != self.revision {
            return Err(LoadError::Superseded);
        }
        let records = &shared.records;
        Ok(Snapshot {
            commit: records.commit,
            drivers: records.drivers.values().cloned().collect(),
            applications: records.applications.values().cloned().collect(),
            executors: records.executors.values().cloned().collect(),
            workers: records.workers.values().cloned().collect(),
            events: records.events.values().cloned().collect(),
            quarantined: Vec::new(),
        })
    }

    async fn commit(&mut self, transaction: Transaction) -> Result<(), CommitError> {
        let mut shared = lock(&self.shared);
        if shared.revision != self.revision {
            return Err(CommitError::Superseded);
        }
        let newest = shared.records.commit;
        if transaction.commit != newest.next() {
            return Err(CommitError::Number { newest, offered: transaction.commit });
        }
        shared.records.commit = transaction.commit;
        for write in transaction.writes {
            shared.records.apply(write);
        }
        Ok(())
    }

    async fn newest(&mut self) -> Result<Commit, LoadError> {
        let shared = lock(&self.shared);
        if shared.revision != self.revision {
            return Err(LoadError::Superseded);
        }
        Ok(shared.records.commit)
    }
}

impl Records {
    fn apply(&mut self, write: Write) {
        match write {
            Write::PutDriver(record) => drop(self.drivers.insert(record.uid, record)),
            Write::DeleteDriver(uid) => drop(self.drivers.remove(&uid)),
            Write::PutApplication(record) => drop(self.applications.insert(record.uid, record)),
            Write::DeleteApplication(uid) => drop(self.applications.remove(&uid)),
            Write::PutExecutors(record) => {
                drop(self.executors.insert((record.application, record.sequence), record));
            }
            Write::DeleteExecutors(application, sequence) => drop(self.executors.remove(&(application, sequence))),
            Write::PutWorker(record) => drop(self.workers.insert(record.uid, record)),
            Write::DeleteWorker(uid) => drop(self.workers.remove(&uid)),
            Write::PutEvents(record) => drop(self.events.insert(record.commit, record)),
            Write::DeleteEvents(commit) => drop(self.events.remove(&commit)),
        }
    }
}

/// No call panics while it holds the lock, so what a poisoned one guards is whole.
fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
