//! Putting drivers on hold, and releasing them.

use muster_types::{DriverState, DriverUid, Fault, KillRecord, Now, Outcome, Reason, WallTime};

use crate::core::{Core, Ctx};
use crate::timers::Timer;

/// The message for a driver that is held only until it is certain that no copy runs.
const HELD: &str = "held since the store was restored: a copy that no record names may run";

impl Core {
    /// Called when a leader starts: holds the drivers that may have attempts which the store does
    /// not know, and starts the wait for the leases that earlier leaders renewed.
    pub(crate) fn hold_past(&mut self, now: Now, drivers: &[DriverUid]) {
        if self.cluster.generation <= 1 {
            return;
        }
        let open = drivers.iter().filter_map(|uid| self.drivers.get(*uid));
        let open = open.filter(|driver| !driver.live.is_terminal() && self.may_have_gone_on(driver));
        self.restore.held = open.map(|driver| driver.record.uid).collect();
        self.timers.arm(now.time + self.config.wait, Timer::Settled);
    }

    /// Called when no lease from an earlier leader is valid any more.
    pub(crate) fn end_settling(&mut self, ctx: &mut Ctx<'_>) {
        self.restore.waited = true;
        self.release_held(ctx);
    }

    /// Keeps a held driver without an open attempt out of the queue; a kill of it is only noted.
    /// Returns `false` if the driver is not held, or is backing off.
    pub(crate) fn keep_held(&mut self, now: WallTime, uid: DriverUid) -> bool {
        let Some(driver) = self.drivers.get_mut(uid).filter(|_| self.restore.holds(uid)) else { return false };
        if driver.record.kill.is_some() {
            driver.live = DriverState::Killing;
        } else if driver.live != DriverState::BackingOff {
            driver.live = DriverState::Pending;
        } else {
            return false;
        }
        self.emit_driver_event(now, uid, None, HELD);
        true
    }

    /// A held driver's open attempt is certainly over, but it is not known how it ended or what
    /// followed. Frees its resources.
    pub(crate) fn hold_missing_attempt(&mut self, ctx: &mut Ctx<'_>, uid: DriverUid) {
        let Some(driver) = self.drivers.get_mut(uid) else { return };
        let Some((key, worker)) = driver.open_key().filter(|_| !driver.absent) else { return };
        driver.absent = true;
        if driver.record.kill.is_none() {
            driver.live = DriverState::Unreachable;
        }
        if let Some(given) = self.workers.get_mut(worker).and_then(|worker| worker.assigned.get_mut(&key)) {
            let given = std::mem::take(given);
            self.fleet.give_back(worker, &given);
        }
        let message = format!("{HELD}; its worker does not have this attempt");
        self.emit_driver_event(ctx.now.wall, uid, None, &message);
    }

    /// Holds a driver of which a copy was found that no record names, until that copy ends. A
    /// driver with an open attempt is not held.
    pub(super) fn hold_again(&mut self, now: WallTime, uid: DriverUid) {
        let Some(driver) = self.drivers.get(uid) else { return };
        if driver.live.is_terminal() || driver.open_attempt().is_some() || self.restore.holds(uid) {
            return;
        }
        self.restore.held.insert(uid);
        self.waiting.remove(uid);
        self.emit_driver_event(now, uid, None, HELD);
    }

    /// Notes a kill of a held driver without an open attempt. Its copies, if there are any, end
    /// first.
    pub(crate) fn hold_kill(&mut self, ctx: &mut Ctx<'_>, uid: DriverUid, kill: KillRecord) {
        let Some(driver) = self.drivers.get_mut(uid) else { return };
        driver.live = DriverState::Killing;
        driver.retry = None;
        self.put_driver(ctx.now, uid, |record| record.kill = Some(kill));
        self.emit_driver_event(ctx.now.wall, uid, None, "a kill was asked for");
    }

    /// Releases the drivers that can have no copy any more. Called when a worker has reported, or
    /// can report nothing any more.
    pub(crate) fn release_held(&mut self, ctx: &mut Ctx<'_>) {
        if !self.restore.waited || (self.restore.held.is_empty() && self.restore.frozen.is_empty()) {
            return;
        }
        let census = self.census();
        if census.knows_leased() {
            self.thaw_quarantined();
        }
        let held = self.restore.held.iter().filter_map(|uid| self.drivers.get(*uid));
        let free = held.filter(|driver| census.clears(driver));
        let mut free: Vec<(WallTime, DriverUid)> = free.map(|d| (d.record.created, d.record.uid)).collect();
        // In the order of submission, as at a leader's start.
        free.sort_unstable();
        for (_, uid) in free {
            self.release_driver(ctx, uid);
            self.boundary();
        }
    }

    fn release_driver(&mut self, ctx: &mut Ctx<'_>, uid: DriverUid) {
        self.restore.release(uid);
        let Some(driver) = self.drivers.get(uid) else { return };
        let (absent, killed) = (driver.absent, driver.record.kill.is_some());
        match driver.open_attempt() {
            Some(_) if absent => {
                let message = "the store was restored to an earlier time, and no worker has this attempt";
                let lost = Outcome::without_exit(Fault::Platform, Reason::Lost, message);
                self.close_attempt(ctx, uid, lost, None, None);
            }
            // The attempt is frozen, or its worker is disconnected. The usual rules apply again.
            Some(_) => self.thaw_released(ctx, uid),
            None if killed => self.end_unplaced(ctx, uid, |_| {}, "no copy of it is left"),
            None => {
                self.emit_driver_event(ctx.now.wall, uid, None, "no longer held: no copy of it runs");
                self.enqueue_driver(uid);
            }
        }
    }
}
