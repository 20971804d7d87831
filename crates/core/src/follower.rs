//! What a standby prepares from what the leader writes, so that a win costs what is alive and not
//! what has ended.
//!
//! A busy cluster keeps a hundred thousand drivers and applications that have finished, and a few
//! hundred that have not. Those that have ended change no more: they are put in place as their
//! records come, and shown to readers. Everything else is kept as it is stored, and is made into a
//! leader's state when this master leads. A load is the same, from all records at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_types::{
    ApplicationRecord, ApplicationUid, Commit, DriverRecord, DriverUid, ExecutorsRecord, Now, WorkerRecord, WorkerUid,
    Write,
};

use crate::core::{Core, Ctx};
use crate::state::{Application, Driver};
use crate::{ClusterInfo, Config, Effect, Entropy, ViewUpdate};

/// Follows what is durable, record by record.
#[derive(Debug)]
pub struct Follower {
    /// Holds drivers and applications that have ended, and nothing else.
    core: Core,
    drivers: BTreeMap<DriverUid, Arc<DriverRecord>>,
    /// Of every application, as are the executors: an application has ended only when all of its
    /// executors have.
    applications: BTreeMap<ApplicationUid, Arc<ApplicationRecord>>,
    executors: BTreeMap<(ApplicationUid, u64), Arc<ExecutorsRecord>>,
    /// Applications that are not in place.
    alive: BTreeSet<ApplicationUid>,
    /// Those that are, by their driver.
    owned: BTreeMap<DriverUid, BTreeSet<ApplicationUid>>,
    /// Those of which a record has changed since they were last looked at.
    changed: BTreeSet<ApplicationUid>,
    workers: BTreeMap<WorkerUid, Arc<WorkerRecord>>,
}

/// What is not in place before a master leads, each by uid.
pub(crate) struct LiveRecords {
    pub(crate) drivers: Vec<Driver>,
    /// Each with the records of its executors, by sequence.
    pub(crate) applications: Vec<(Arc<ApplicationRecord>, Vec<Arc<ExecutorsRecord>>)>,
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
            drivers: BTreeMap::new(),
            applications: BTreeMap::new(),
            executors: BTreeMap::new(),
            alive: BTreeSet::new(),
            owned: BTreeMap::new(),
            changed: BTreeSet::new(),
            workers: BTreeMap::new(),
        }
    }

    /// Takes in what a key now holds. Of several writes of one key the last one counts; between
    /// keys any order will do, but for a name that passes from a driver that is removed to another.
    pub fn follow(&mut self, write: Write) {
        match write {
            Write::PutDriver(record) => self.put_driver(record),
            Write::DeleteDriver(uid) => {
                self.drivers.remove(&uid);
                self.remove_driver(uid);
            }
            Write::PutApplication(record) => {
                self.changed.insert(record.uid);
                self.applications.insert(record.uid, record);
            }
            Write::DeleteApplication(uid) => {
                self.changed.insert(uid);
                self.applications.remove(&uid);
            }
            Write::PutExecutors(record) => {
                self.changed.insert(record.application);
                self.executors.insert((record.application, record.sequence), record);
            }
            Write::DeleteExecutors(uid, sequence) => {
                self.changed.insert(uid);
                self.executors.remove(&(uid, sequence));
            }
            Write::PutWorker(record) => drop(self.workers.insert(record.uid, record)),
            Write::DeleteWorker(uid) => drop(self.workers.remove(&uid)),
            // Nothing is decided by them.
            Write::PutEvents(_) | Write::DeleteEvents(_) => {}
        }
    }

    /// What readers will see differently. Whoever follows takes it out now and then, and all of it
    /// before the win.
    pub fn shows(&mut self) -> impl Iterator<Item = ViewUpdate> + use<> {
        self.settle();
        let effects = self.core.drain().into_iter().flat_map(|group| group.effects);
        effects.filter_map(|effect| if let Effect::UpdateView(show) = effect { Some(show) } else { None })
    }

    /// How many drivers there are.
    pub fn drivers(&self) -> usize {
        self.drivers.len() + self.core.drivers.len()
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
    pub fn lead(mut self, term: Term, now: Now, entropy: &mut dyn Entropy) -> Core {
        self.settle();
        let drivers = std::mem::take(&mut self.drivers).into_values();
        let drivers = drivers.map(|record| self.driver(record)).collect();
        let applications = self.alive.iter().filter_map(|uid| self.applications.get(uid));
        let applications = applications.map(|record| (record.clone(), self.stored(record.uid).collect())).collect();
        let alive = LiveRecords { drivers, applications, workers: self.workers.into_values().collect() };
        let mut core = self.core;
        core.begin(term.cluster);
        core.leave_unknown |= term.is_damaged;
        core.take_over(alive, term.commit.0 > 0, &mut Ctx { now, entropy });
        core
    }

    fn driver(&self, record: Arc<DriverRecord>) -> Driver {
        let owned = self.owned.get(&record.uid).cloned().unwrap_or_default();
        Driver { applications: owned, ..Driver::new(record) }
    }

    fn put_driver(&mut self, record: Arc<DriverRecord>) {
        let uid = record.uid;
        self.remove_driver(uid);
        let driver = self.driver(record);
        if !driver.live.is_terminal() || driver.open_attempt().is_some() {
            self.drivers.insert(uid, driver.record);
            return;
        }
        self.drivers.remove(&uid);
        self.core.requests.load_driver(&driver.record);
        self.core.retention.keep_driver(&driver.record);
        self.core.drivers.insert(driver);
        self.core.out.touched.drivers.insert(uid);
        self.core.boundary();
    }

    /// Takes a driver that has ended out of its place.
    fn remove_driver(&mut self, uid: DriverUid) {
        let Some(driver) = self.core.drivers.remove(uid) else { return };
        let kill = driver.record.kill.iter().flat_map(|kill| &kill.requests);
        for request in driver.record.request.iter().chain(kill) {
            self.core.requests.remove(request);
        }
        self.core.retention.drop_driver(&driver.record);
        self.core.out.touched.drivers.insert(uid);
        self.core.boundary();
    }

    fn stored(&self, uid: ApplicationUid) -> impl Iterator<Item = Arc<ExecutorsRecord>> {
        self.executors.range((uid, 0)..=(uid, u64::MAX)).map(|(_, record)| record.clone())
    }

    /// Looks at the applications that have changed.
    fn settle(&mut self) {
        for uid in std::mem::take(&mut self.changed) {
            self.remove_application(uid);
            self.alive.remove(&uid);
            if let Some(record) = self.applications.get(&uid) {
                self.put_application(record.clone());
            }
        }
    }

    fn put_application(&mut self, record: Arc<ApplicationRecord>) {
        let uid = record.uid;
        if !record.state.is_terminal() {
            self.alive.insert(uid);
            return;
        }
        // Nothing of it runs: it is of no account that its executors were leased.
        let application = Application::load(record, false, self.stored(uid));
        if !application.open.is_empty() {
            self.alive.insert(uid);
            return;
        }
        if let Some((driver, _, _)) = &application.record.driver {
            self.owned.entry(*driver).or_default().insert(uid);
            self.change_owner(*driver, |owned| owned.insert(uid));
        }
        self.core.requests.load_application(&application.record);
        self.core.retention.keep_application(&application.record);
        self.core.applications.load(application);
        self.core.show_application_whole(uid);
        self.core.boundary();
    }

    /// Takes an application that has ended out of its place.
    fn remove_application(&mut self, uid: ApplicationUid) {
        let Some(application) = self.core.applications.remove(uid) else { return };
        self.core.out.touched.applications.insert(uid);
        for executor in application.executors() {
            self.core.out.touched.executors.insert((uid, executor.record.id));
            self.core.boundary();
        }
        for request in application.record.request.iter().chain(&application.record.requests) {
            self.core.requests.remove(request);
        }
        self.core.retention.drop_application(&application.record);
        if let Some((driver, _, _)) = &application.record.driver {
            if let Some(owned) = self.owned.get_mut(driver) {
                owned.remove(&uid);
                if owned.is_empty() {
                    self.owned.remove(driver);
                }
            }
            self.change_owner(*driver, |owned| owned.remove(&uid));
        }
    }

    /// Changes which applications a driver has, if it has ended.
    fn change_owner(&mut self, uid: DriverUid, change: impl FnOnce(&mut BTreeSet<ApplicationUid>) -> bool) {
        if let Some(driver) = self.core.drivers.get_mut(uid) {
            change(&mut driver.applications);
            self.core.out.touched.drivers.insert(uid);
        }
    }
}
