//! What stands frozen while it is not certain what followed it.
//!
//! An outage that ends with a restore is often longer than a lease, so that all leased work stands
//! frozen when it ends. A frozen attempt may have been closed before, and another may execute: it
//! goes on only once that is excluded.

use muster_types::{AttemptKey, AttemptNumber, AttemptState, DriverUid, Report, WorkerCommand, WorkerUid};

use crate::core::{Core, Ctx};

impl Core {
    /// Whether a frozen attempt that its record names has to wait; it is remembered.
    pub(crate) fn waits_frozen(&mut self, worker: WorkerUid, key: AttemptKey) -> bool {
        let held = self.driver_behind(key).is_some_and(|driver| self.restore.holds(driver));
        if held {
            self.restore.frozen.insert((worker, key));
        }
        held
    }

    /// Whether a quarantined attempt stands frozen, by its newest report.
    pub(crate) fn note_frozen(&mut self, worker: WorkerUid, report: &Report) {
        if report.state == AttemptState::Frozen {
            self.restore.frozen.insert((worker, report.attempt));
        } else {
            self.restore.frozen.remove(&(worker, report.attempt));
        }
    }

    /// Its driver is released: what stands frozen of it, as its record says, goes on.
    pub(super) fn thaw_released(&mut self, ctx: &mut Ctx<'_>, uid: DriverUid) {
        let of_driver = self.restore.frozen.iter().filter(|(_, key)| self.driver_behind(*key) == Some(uid));
        for (worker, key) in of_driver.copied().collect::<Vec<_>>() {
            if self.workers.get(worker).is_some_and(|worker| worker.assigned.contains_key(&key)) {
                self.restore.frozen.remove(&(worker, key));
                self.thaw_if_wanted(ctx, worker, key);
            }
        }
    }

    /// Once all have reported: of the quarantined attempts of a driver the one with the largest
    /// number goes on, if no other executes. What it followed was closed before it was made. Frozen
    /// executors stay as they are: nobody knows whose part they are.
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
