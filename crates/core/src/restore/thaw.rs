//! Frozen attempts for which it is not certain that no later attempt followed.
//!
//! An outage that ends with a restore is often longer than a lease, so all leased work is frozen
//! when it ends. A frozen attempt may have been closed before, and a later one may execute. It is
//! thawed only once that is excluded.

use muster_types::{AttemptKey, AttemptNumber, AttemptState, DriverUid, Report, WorkerCommand, WorkerUid};

use crate::core::{Core, Ctx};

impl Core {
    /// Whether a frozen attempt that its record names must wait. If so, it is remembered.
    pub(crate) fn waits_frozen(&mut self, worker: WorkerUid, key: AttemptKey) -> bool {
        let held = self.driver_behind(key).is_some_and(|driver| self.restore.holds(driver));
        if held {
            self.restore.frozen.insert((worker, key));
        }
        held
    }

    /// Remembers whether a quarantined attempt is frozen, by its newest report.
    pub(crate) fn note_frozen(&mut self, worker: WorkerUid, report: &Report) {
        if report.state == AttemptState::Frozen {
            self.restore.frozen.insert((worker, report.attempt));
        } else {
            self.restore.frozen.remove(&(worker, report.attempt));
        }
    }

    /// Thaws the frozen attempts of a released driver that its records name.
    pub(super) fn thaw_released(&mut self, ctx: &mut Ctx<'_>, uid: DriverUid) {
        let of_driver = self.restore.frozen.iter().filter(|(_, key)| self.driver_behind(*key) == Some(uid));
        for (worker, key) in of_driver.copied().collect::<Vec<_>>() {
            if self.workers.get(worker).is_some_and(|worker| worker.assigned.contains_key(&key)) {
                self.restore.frozen.remove(&(worker, key));
                self.thaw_if_wanted(ctx, worker, key);
            }
        }
    }

    /// Called once all workers have reported. Of the quarantined attempts of a driver, thaws the
    /// one with the largest number, if it is newer than all recorded ones: the attempts before it
    /// were closed before it was made. Frozen executors stay as they are, because it is not known
    /// which attempt they belong to.
    pub(super) fn thaw_quarantined(&mut self) {
        let newest = |core: &Core, uid: DriverUid, number: AttemptNumber| {
            let known = core.drivers.get(uid).and_then(|driver| driver.newest_attempt());
            let others = core.workers.iter().flat_map(|worker| &worker.quarantined);
            let later = |other: &AttemptKey| matches!(other, AttemptKey::Driver(of, n) if *of == uid && *n > number);
            known.is_none_or(|known| known < number) && !others.into_iter().any(later)
        };
        let frozen: Vec<_> = self.restore.frozen.iter().copied().collect();
        for (uid, attempt) in frozen {
            let AttemptKey::Driver(driver, number) = attempt else { continue };
            let link = self.workers.get(uid).filter(|worker| worker.quarantined.contains(&attempt));
            let link =
                link.filter(|worker| !worker.marked_for_kill.contains_key(&attempt)).and_then(|w| w.ready_link());
            if let Some(link) = link.filter(|_| newest(self, driver, number)) {
                self.restore.frozen.remove(&(uid, attempt));
                self.out.send(link, WorkerCommand::Thaw { attempt });
                self.boundary();
            }
        }
    }
}
