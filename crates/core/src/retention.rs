//! Finished records, which are kept for a while and up to a number, and then removed in bounded
//! groups.

use std::collections::BTreeSet;
use std::time::Duration;

use muster_types::{ApplicationRecord, ApplicationUid, DriverRecord, DriverUid, Now, WallTime, WorkerUid, Write};

use crate::core::{Core, Ctx};
use crate::timers::Timer;

/// Most records of a kind removed by one tick; the next tick removes more.
const PER_TICK: usize = 1024;

/// Finished records, the longest ended first.
#[derive(Debug, Default)]
pub(crate) struct FinishedRecords {
    drivers: BTreeSet<(WallTime, DriverUid)>,
    applications: BTreeSet<(WallTime, ApplicationUid)>,
    armed: bool,
}

impl FinishedRecords {
    /// Keeps a driver that ended before this leader's term.
    pub(crate) fn keep_driver(&mut self, record: &DriverRecord) {
        self.drivers.insert((record.ended.unwrap_or(record.updated), record.uid));
    }

    /// Stops keeping a record, which another leader changed or removed.
    pub(crate) fn drop_driver(&mut self, record: &DriverRecord) {
        self.drivers.remove(&(record.ended.unwrap_or(record.updated), record.uid));
    }

    /// Keeps an application that ended before this leader's term.
    pub(crate) fn keep_application(&mut self, record: &ApplicationRecord) {
        self.applications.insert((record.ended.unwrap_or(record.updated), record.uid));
    }

    /// Stops keeping a record, which another leader changed or removed.
    pub(crate) fn drop_application(&mut self, record: &ApplicationRecord) {
        self.applications.remove(&(record.ended.unwrap_or(record.updated), record.uid));
    }
}

/// How long a lost worker is at least known by its key: for so long it comes back by itself, and no
/// other key is taken for it.
const KEY_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

impl Core {
    /// Keeps a driver that has ended, and makes room for it.
    pub(crate) fn finish_driver(&mut self, now: Now, uid: DriverUid) {
        let ended = self.drivers.get(uid).and_then(|driver| driver.record.ended).unwrap_or(now.wall);
        if self.retention.drivers.len() >= self.config.kept_records.max(1) {
            self.retire_driver();
        }
        self.retention.drivers.insert((ended, uid));
        self.arm_retention(now);
    }

    /// Keeps an application that has ended, and makes room for it.
    pub(crate) fn finish_application(&mut self, now: Now, uid: ApplicationUid) {
        let ended = self.applications.get(uid).and_then(|application| application.record.ended).unwrap_or(now.wall);
        if self.retention.applications.len() >= self.config.kept_records.max(1) {
            self.retire_application();
        }
        self.retention.applications.insert((ended, uid));
        self.arm_retention(now);
    }

    fn oldest(&self) -> Option<WallTime> {
        let driver = self.retention.drivers.first().map(|(ended, _)| *ended);
        let application = self.retention.applications.first().map(|(ended, _)| *ended);
        driver.into_iter().chain(application).min()
    }

    pub(crate) fn arm_retention(&mut self, now: Now) {
        if self.retention.armed {
            return;
        }
        if let Some(oldest) = self.oldest() {
            let due = Duration::from_millis(oldest.0).saturating_add(self.config.kept);
            // The wait is bounded in case the clock was ahead when the record ended: others end
            // meanwhile.
            let wait = due.saturating_sub(Duration::from_millis(now.wall.0)).min(self.config.kept);
            self.retention.armed = true;
            self.timers.arm(now.time + wait, Timer::Retention);
        }
    }

    /// Removes the records that are too old.
    pub(crate) fn retire(&mut self, ctx: &mut Ctx<'_>) {
        let kept = self.config.kept;
        let too_old = |ended: Option<WallTime>| ended.is_some_and(|ended| ended + kept <= ctx.now.wall);
        for _ in 0..PER_TICK {
            let driver = too_old(self.retention.drivers.first().map(|(ended, _)| *ended));
            let application = too_old(self.retention.applications.first().map(|(ended, _)| *ended));
            if driver {
                self.retire_driver();
            }
            if application {
                self.retire_application();
            }
            if !driver && !application {
                break;
            }
            self.boundary();
        }
        self.retention.armed = false;
        self.arm_retention(ctx.now);
    }

    fn retire_driver(&mut self) {
        let Some((_, uid)) = self.retention.drivers.pop_first() else { return };
        let Some(driver) = self.drivers.remove(uid) else { return };
        let kill = driver.record.kill.iter().flat_map(|kill| &kill.requests);
        for request in driver.record.request.iter().chain(kill) {
            self.requests.drop_id(request);
        }
        self.delete(Write::DeleteDriver(uid));
        self.out.touched.drivers.insert(uid);
    }

    /// Removes a record in a later group than one that writes it, so that its end is durable before
    /// it is removed.
    pub(crate) fn delete(&mut self, write: Write) {
        if self.out.writes_key_of(&write) {
            self.seal();
        }
        self.out.write(write);
    }

    /// Removes the executors' records first, so that in every prefix of the groups none is without
    /// its application.
    fn retire_application(&mut self) {
        let Some((_, uid)) = self.retention.applications.pop_first() else { return };
        // Closing the group adds the executors' record of the open group to `records`, so that it
        // is removed, too.
        if self.out.executors.contains_key(&uid) {
            self.seal();
        }
        let Some(application) = self.applications.remove(uid) else { return };
        for sequence in application.records.keys() {
            self.out.write(Write::DeleteExecutors(uid, *sequence));
            self.boundary();
        }
        for executor in application.executors() {
            self.out.touched.executors.insert((uid, executor.record.id));
        }
        for request in application.record.request.iter().chain(&application.record.requests) {
            self.requests.drop_id(request);
        }
        if let Some((driver, _, _)) = &application.record.driver
            && let Some(driver) = self.drivers.get_mut(*driver)
        {
            driver.applications.remove(&uid);
            self.out.touched.drivers.insert(driver.record.uid);
        }
        self.delete(Write::DeleteApplication(uid));
        self.out.touched.applications.insert(uid);
    }

    /// Removes a worker that has been lost for as long as finished records are kept. If it ever
    /// returns, it registers anew. The record of a key that was revoked is never removed, and that
    /// of another key not within [`KEY_KEPT`]. Any record stays while attempts are assigned to the
    /// worker, and while a driver is held because of it.
    pub(crate) fn retire_worker(&mut self, ctx: &Ctx<'_>, uid: WorkerUid) {
        let Some(worker) = self.workers.get(uid) else { return };
        if !worker.record.lost || worker.record.forgotten || worker.record.revoked {
            return;
        }
        if !worker.assigned.is_empty() || self.may_run_copies(worker) {
            return self.arm_lost_worker(ctx.now, uid);
        }
        self.workers.remove(uid);
        self.fleet.remove(uid);
        self.delete(Write::DeleteWorker(uid));
        self.out.touched.workers.insert(uid);
    }

    /// Has a lost worker's record removed in time.
    pub(crate) fn arm_lost_worker(&mut self, now: Now, uid: WorkerUid) {
        let has_key = self.workers.get(uid).is_some_and(|worker| worker.record.key.is_some());
        let kept = if has_key { self.config.kept.max(KEY_KEPT) } else { self.config.kept };
        self.timers.arm(now.time + kept, Timer::LostWorker(uid));
    }

    /// When the oldest kept record ended, if as many are kept as the bound allows: older ones may
    /// have been removed.
    pub(crate) fn removed_until(&self) -> Option<WallTime> {
        let full = self.retention.drivers.len() >= self.config.kept_records
            || self.retention.applications.len() >= self.config.kept_records;
        full.then(|| self.oldest()).flatten()
    }
}
