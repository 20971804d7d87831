//! Drivers in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_types::{
    ApplicationUid, AttemptKey, AttemptNumber, AttemptRecord, DriverId, DriverRecord, DriverState, DriverUid, Time,
    WallTime, WorkerUid,
};

/// A driver: its stored record, and state that is not durable.
#[derive(Debug, Clone)]
pub(crate) struct Driver {
    pub(crate) record: Arc<DriverRecord>,
    /// The present state, including the states that depend on the worker's connection.
    pub(crate) live: DriverState,
    pub(crate) pid: Option<u32>,
    /// When the process of the open attempt started.
    pub(crate) started: Option<WallTime>,
    /// When the back-off is over.
    pub(crate) retry: Option<(Time, WallTime)>,
    /// The kernel function in which the tree waits.
    pub(crate) wait_channel: Option<String>,
    /// Whether its worker has accepted the open attempt, as far as this leader knows.
    pub(crate) progress: bool,
    /// Whether, after a restore, the open attempt is over and it is not known how it ended or what
    /// followed.
    pub(crate) absent: bool,
    /// When this leader last launched the open attempt; `None` if another leader did.
    pub(crate) launched: Option<Time>,
    /// Applications that it registered and that are kept.
    pub(crate) applications: BTreeSet<ApplicationUid>,
}

impl Driver {
    pub(crate) fn new(record: Arc<DriverRecord>) -> Driver {
        Driver {
            live: record.state,
            record,
            pid: None,
            started: None,
            retry: None,
            wait_channel: None,
            progress: false,
            absent: false,
            launched: None,
            applications: BTreeSet::new(),
        }
    }

    /// The attempt that is not closed; it is the newest.
    pub(crate) fn open_attempt(&self) -> Option<&AttemptRecord> {
        self.record.attempts.last().filter(|attempt| attempt.outcome.is_none())
    }

    /// Whether the launch of the open attempt was taken back.
    pub(crate) fn is_taken_back(&self) -> bool {
        self.open_attempt().is_some_and(|attempt| attempt.launch_timed_out)
    }

    pub(crate) fn newest_attempt(&self) -> Option<AttemptNumber> {
        self.record.attempts.last().map(|attempt| attempt.number)
    }

    /// The key of the open attempt, and its worker.
    pub(crate) fn open_key(&self) -> Option<(AttemptKey, WorkerUid)> {
        self.open_attempt().map(|attempt| (AttemptKey::Driver(self.record.uid, attempt.number), attempt.worker))
    }

    pub(crate) fn is_leased(&self) -> bool {
        self.record.spec.on_worker_lost.is_leased()
    }

    /// Clears the state of an attempt that is closed or launched again.
    pub(crate) fn clear_attempt(&mut self) {
        self.pid = None;
        self.started = None;
        self.wait_channel = None;
        self.progress = false;
        self.absent = false;
        self.launched = None;
    }
}

/// Every driver that is kept.
#[derive(Debug, Default)]
pub(crate) struct Drivers {
    by_uid: BTreeMap<DriverUid, Driver>,
    by_name: BTreeMap<DriverId, DriverUid>,
    /// The number of drivers with an open attempt.
    pub(crate) placed: u32,
}

impl Drivers {
    pub(crate) fn insert(&mut self, driver: Driver) {
        self.by_name.insert(driver.record.id.clone(), driver.record.uid);
        self.placed += u32::from(driver.open_attempt().is_some());
        self.by_uid.insert(driver.record.uid, driver);
    }

    pub(crate) fn remove(&mut self, uid: DriverUid) -> Option<Driver> {
        let driver = self.by_uid.remove(&uid)?;
        self.by_name.remove(&driver.record.id);
        Some(driver)
    }

    pub(crate) fn get(&self, uid: DriverUid) -> Option<&Driver> {
        self.by_uid.get(&uid)
    }

    pub(crate) fn get_mut(&mut self, uid: DriverUid) -> Option<&mut Driver> {
        self.by_uid.get_mut(&uid)
    }

    /// Finds a driver by uid, else by name. Some older records have a name in the form of a uid;
    /// those never hide the driver of that uid.
    pub(crate) fn find(&self, name: &str) -> Option<&Driver> {
        let by_uid = name.parse().ok().and_then(|uid| self.by_uid.get(&uid));
        by_uid.or_else(|| self.by_uid.get(self.by_name.get(name)?))
    }

    pub(crate) fn has_name(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_uid.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Driver> {
        self.by_uid.values()
    }
}
