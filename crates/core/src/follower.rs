//! What a standby prepares from what the leader writes, so that a win costs what is alive and not what has ended.
//!
//! A busy cluster keeps a hundred thousand finished drivers, and a few hundred that are not. Those that have ended change no more: their
//! records are put in place as they come, and shown to readers. Everything else is kept as it is stored, and is made into a leader's
//! state when this master leads. A load is the same, from all records at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_types::{
    ApplicationRecord, ApplicationUid, Commit, DriverRecord, DriverUid, ExecutorsRecord, Now, WorkerRecord, WorkerUid,
    Write,
};

use crate::core::{Core, Ctx};
use crate::state::Driver;
use crate::{ClusterInfo, Config, Effect, Entropy, Show};

/// Follows what is durable, record by record.
#[derive(Debug)]
pub struct Follower {
    /// Holds drivers that have ended, and nothing else.
    core: Core,
    alive: BTreeMap<DriverUid, Arc<DriverRecord>>,
    applications: BTreeMap<ApplicationUid, Arc<ApplicationRecord>>,
    executors: BTreeMap<(ApplicationUid, u64), Arc<ExecutorsRecord>>,
    workers: BTreeMap<WorkerUid, Arc<WorkerRecord>>,
}

/// What is not in place before a master leads.
pub(crate) struct Alive {
    pub(crate) drivers: Vec<Arc<DriverRecord>>,
    pub(crate) applications: Vec<Arc<ApplicationRecord>>,
    pub(crate) executors: Vec<Arc<ExecutorsRecord>>,
    pub(crate) workers: Vec<Arc<WorkerRecord>>,
}

/// What a win adds to the records.
#[derive(Debug, Clone)]
pub struct Term {
    /// The cluster that is led.
    pub cluster: ClusterInfo,
    /// The newest commit.
    pub commit: Commit,
    /// Some records could not be read: what they may name is left running.
    pub is_damaged: bool,
}

impl Follower {
    /// One that has seen nothing yet.
    pub fn new(config: Config) -> Follower {
        // What belongs to the term is put in with the win.
        let nobody = ClusterInfo { uid: muster_types::ClusterUid(0), name: String::new(), generation: 1 };
        Follower {
            core: Core::new(config, nobody),
            alive: BTreeMap::new(),
            applications: BTreeMap::new(),
            executors: BTreeMap::new(),
            workers: BTreeMap::new(),
        }
    }

    /// Takes in what a key now holds. Of several writes of one key the last one counts; between keys any order will do, but for a name
    /// that passes from a driver that is removed to another.
    pub fn follow(&mut self, write: Write) {
        match write {
            Write::PutDriver(record) => self.put_driver(record),
            Write::DeleteDriver(uid) => {
                self.alive.remove(&uid);
                self.remove_ended(uid);
            }
            Write::PutApplication(record) => drop(self.applications.insert(record.uid, record)),
            Write::DeleteApplication(uid) => drop(self.applications.remove(&uid)),
            Write::PutExecutors(record) => {
                drop(self.executors.insert((record.application, record.sequence), record));
            }
            Write::DeleteExecutors(uid, sequence) => drop(self.executors.remove(&(uid, sequence))),
            Write::PutWorker(record) => drop(self.workers.insert(record.uid, record)),
            Write::DeleteWorker(uid) => drop(self.workers.remove(&uid)),
            // Nothing is decided by them.
            Write::PutEvents(_) | Write::DeleteEvents(_) => {}
        }
    }

    /// What readers will see differently. Whoever follows takes it out now and then, and all of it before the win.
    pub fn shows(&mut self) -> impl Iterator<Item = Show> + use<> {
        let effects = self.core.drain().into_iter().flat_map(|group| group.effects);
        effects.filter_map(|effect| if let Effect::Show(show) = effect { Some(show) } else { None })
    }

    /// How many drivers there are.
    pub fn drivers(&self) -> usize {
        self.alive.len() + self.core.drivers.len()
    }

    /// How many applications there are.
    pub fn applications(&self) -> usize {
        self.applications.len()
    }

    /// Every worker.
    pub fn workers(&self) -> impl Iterator<Item = &WorkerRecord> {
        self.workers.values().map(AsRef::as_ref)
    }

    /// This master leads. The first groups that are drained show the rest to readers.
    pub fn lead(self, term: Term, now: Now, entropy: &mut dyn Entropy) -> Core {
        let Follower { mut core, alive, applications, executors, workers } = self;
        core.begin(term.cluster);
        core.leave_unknown |= term.is_damaged;
        let alive = Alive {
            drivers: alive.into_values().collect(),
            applications: applications.into_values().collect(),
            executors: executors.into_values().collect(),
            workers: workers.into_values().collect(),
        };
        core.take_over(alive, term.commit.0 > 0, &mut Ctx { now, entropy });
        core
    }

    fn put_driver(&mut self, record: Arc<DriverRecord>) {
        let uid = record.uid;
        self.remove_ended(uid);
        let driver = Driver::new(record);
        if !driver.live.is_terminal() || driver.open_attempt().is_some() {
            self.alive.insert(uid, driver.record);
            return;
        }
        self.alive.remove(&uid);
        self.core.requests.remember_driver(&driver.record);
        self.core.retention.keep_driver(&driver.record);
        self.core.drivers.insert(driver);
        self.core.out.touched.drivers.insert(uid);
        self.core.boundary();
    }

    fn remove_ended(&mut self, uid: DriverUid) {
        let Some(driver) = self.core.drivers.remove(uid) else { return };
        let kill = driver.record.kill.iter().flat_map(|kill| &kill.requests);
        for request in driver.record.request.iter().chain(kill) {
            self.core.requests.remove(request);
        }
        self.core.retention.drop_driver(&driver.record);
        self.core.out.touched.drivers.insert(uid);
        self.core.boundary();
    }
}
