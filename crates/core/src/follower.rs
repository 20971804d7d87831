//! The preparation of a standby from the leader's writes. The cost of taking over then depends on
//! what is live, and not on what has ended.
//!
//! A busy cluster keeps a hundred thousand drivers and applications that have finished, and a few
//! hundred that have not. Finished ones change no more: they are put into the core as their records
//! come, and shown to readers. All others are kept as they are stored, and become a leader's state
//! when this master leads. The load of a store works the same way, with all records at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_types::{
    ApplicationRecord, ApplicationUid, Commit, DriverRecord, DriverUid, ExecutorsRecord, Now, WorkerRecord, WorkerUid,
    Write,
};

use crate::core::{Core, Ctx};
use crate::state::{Application, Driver};
use crate::{ClusterInfo, Config, Entropy, Group, ViewUpdate};

/// Follows the store, record by record.
#[derive(Debug)]
pub struct Follower {
    /// Contains drivers and applications that have ended, and tokens, and nothing else.
    core: Core,
    drivers: BTreeMap<DriverUid, Arc<DriverRecord>>,
    /// The records of all applications, also of those in the core: an application has ended only
    /// when all of its executors have, so its records may be needed again. The same holds for
    /// `executors`.
    applications: BTreeMap<ApplicationUid, Arc<ApplicationRecord>>,
    executors: BTreeMap<(ApplicationUid, u64), Arc<ExecutorsRecord>>,
    /// Applications that are not in the core.
    alive: BTreeSet<ApplicationUid>,
    /// Applications that are in the core, by their driver.
    owned: BTreeMap<DriverUid, BTreeSet<ApplicationUid>>,
    /// Applications of which a record has changed since the last [`Follower::settle`].
    changed: BTreeSet<ApplicationUid>,
    workers: BTreeMap<WorkerUid, Arc<WorkerRecord>>,
}

/// The records that are not in the core before a master leads, by uid.
pub(crate) struct LiveRecords {
    pub(crate) drivers: Vec<Driver>,
    /// Each with the records of its executors, by sequence.
    pub(crate) applications: Vec<(Arc<ApplicationRecord>, Vec<Arc<ExecutorsRecord>>)>,
    pub(crate) workers: Vec<Arc<WorkerRecord>>,
}

/// Facts that a new leader adds to the records.
#[derive(Debug, Clone)]
pub struct Term {
    /// The cluster that is led.
    pub cluster: ClusterInfo,
    /// The newest commit.
    pub commit: Commit,
    /// Whether some records could not be read. The attempts that they may name are left running.
    pub is_damaged: bool,
}

impl Follower {
    /// A follower of an empty store.
    pub fn new(config: Config) -> Follower {
        // `lead` replaces this when the term begins.
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

    /// Applies the new value of a key. Of several writes of one key the last one counts. Writes of
    /// different keys may come in any order, except when a removed driver's name passes to another
    /// driver.
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
            // A standby shows tokens, too: it judges the callers that it forwards.
            Write::PutToken(record) => {
                self.core.out.touched.tokens.insert(record.id);
                self.core.tokens.put(record);
                self.core.boundary();
            }
            Write::DeleteToken(id) => {
                self.core.out.touched.tokens.insert(id);
                self.core.tokens.remove(id);
                self.core.boundary();
            }
            Write::PutRoles(roles) => {
                self.core.out.touched.roles = true;
                self.core.roles = roles;
                self.core.boundary();
            }
            // No decision depends on events.
            Write::PutEvents(_) | Write::DeleteEvents(_) => {}
        }
    }

    /// The changes for readers. The caller takes them from time to time, and takes the last of them
    /// before this master leads.
    pub fn view_updates(&mut self) -> impl Iterator<Item = ViewUpdate> + use<> {
        self.settle();
        self.core.drain().into_iter().flat_map(Group::into_view_updates)
    }

    /// The number of drivers.
    pub fn drivers(&self) -> usize {
        self.drivers.len() + self.core.drivers.len()
    }

    /// The number of applications.
    pub fn applications(&self) -> usize {
        self.applications.len()
    }

    /// Every worker.
    pub fn workers(&self) -> impl Iterator<Item = &WorkerRecord> {
        self.workers.values().map(AsRef::as_ref)
    }

    /// Makes the leader's core. The first groups that are drained show readers everything else.
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

    /// Removes an ended driver from the core.
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

    /// Moves the changed applications into the core or out of it.
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
        // Nothing of it runs, so it does not matter whether its executors were leased.
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

    /// Removes an ended application from the core.
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

    /// Changes the applications of a driver, if the driver has ended.
    fn change_owner(&mut self, uid: DriverUid, change: impl FnOnce(&mut BTreeSet<ApplicationUid>) -> bool) {
        if let Some(driver) = self.core.drivers.get_mut(uid) {
            change(&mut driver.applications);
            self.core.out.touched.drivers.insert(uid);
        }
    }
}
