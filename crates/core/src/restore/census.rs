//! What the workers have reported since the store was restored.

use std::collections::BTreeSet;

use muster_types::{AttemptKey, DriverUid};

use super::RestoreHold;
use crate::core::Core;
use crate::state::{Driver, Worker};

/// Where copies that no record names may run.
pub(super) struct Census {
    /// All leased copies that run are quarantined ones.
    leased_known: bool,
    /// All copies that run are quarantined ones.
    all_known: bool,
    /// Drivers with a quarantined copy on a worker that is not lost: a lease there may be valid.
    leased: BTreeSet<DriverUid>,
    /// Drivers with a quarantined copy anywhere.
    all: BTreeSet<DriverUid>,
}

impl Census {
    /// Whether every leased copy that may execute is known.
    pub(super) fn knows_leased(&self) -> bool {
        self.leased_known
    }

    /// Whether it is certain that no copy of a driver runs beside those in its record.
    pub(super) fn clears(&self, driver: &Driver) -> bool {
        let uid = driver.record.uid;
        if driver.is_leased() {
            self.leased_known && !self.leased.contains(&uid)
        } else {
            self.all_known && !self.all.contains(&uid)
        }
    }
}

impl RestoreHold {
    /// Whether a worker may run a leased copy that it has not reported.
    pub(super) fn is_awaited(worker: &Worker) -> bool {
        !worker.accounted && !worker.record.lost && !worker.record.forgotten
    }

    /// Whether a worker may run any copy that it has not reported. The loss of a worker ends leased
    /// copies only.
    pub(super) fn is_missing(worker: &Worker) -> bool {
        !worker.accounted && !worker.record.forgotten
    }
}

impl Core {
    pub(super) fn census(&self) -> Census {
        let waited = self.restore.waited;
        let mut census =
            Census { leased_known: waited, all_known: waited, leased: BTreeSet::new(), all: BTreeSet::new() };
        for worker in self.workers.iter() {
            census.leased_known &= !RestoreHold::is_awaited(worker);
            census.all_known &= !RestoreHold::is_missing(worker);
            for driver in worker.quarantined.iter().filter_map(|key| self.driver_behind(*key)) {
                census.all.insert(driver);
                if !worker.record.lost {
                    census.leased.insert(driver);
                }
            }
        }
        census
    }

    /// Whether a worker's record must be kept, because copies that no record names may run there.
    pub(crate) fn may_run_copies(&self, worker: &Worker) -> bool {
        !worker.quarantined.is_empty() || (!self.restore.held.is_empty() && RestoreHold::is_missing(worker))
    }

    /// The driver that an attempt belongs to. Executors are part of a driver's copy.
    pub(crate) fn driver_behind(&self, key: AttemptKey) -> Option<DriverUid> {
        match key {
            AttemptKey::Driver(uid, _) => Some(uid),
            AttemptKey::Executor(uid, _) => {
                let owner = self.applications.get(uid)?.record.driver.as_ref();
                owner.map(|(driver, _, _)| *driver)
            }
        }
    }
}
