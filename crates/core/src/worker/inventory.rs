//! Comparison of a worker's inventory with the records, in both directions.

use std::collections::BTreeMap;

use muster_types::{
    AttemptKey, AttemptState, DriverState, ExecutorState, Fault, KilledBy, Outcome, Reason, Report, WorkerCommand,
    WorkerUid,
};

use crate::core::{Core, Ctx};
use crate::timers::Timer;
use crate::{Effect, LinkId};

/// Most reports of one inventory. A worker that sends more must begin anew.
const MAX_INVENTORY: usize = 1_000_000;

impl Core {
    pub(crate) fn inventory(&mut self, ctx: &mut Ctx<'_>, link: LinkId, reports: Vec<Report>, complete: bool) {
        let Some(worker) = self.workers.get_mut(link.worker).filter(|worker| worker.link == Some(link)) else { return };
        if worker.reported {
            return self.reports(ctx, link, reports);
        }
        if worker.inventory_parts.len() + reports.len() > MAX_INVENTORY {
            worker.inventory_parts.clear();
            return self.out.effect(Effect::Reconnect(link));
        }
        worker.inventory_parts.extend(reports);
        if complete {
            self.take_inventory(ctx, link);
        }
    }

    fn take_inventory(&mut self, ctx: &mut Ctx<'_>, link: LinkId) {
        let uid = link.worker;
        let Some(worker) = self.workers.get_mut(uid) else { return };
        let gathered = std::mem::take(&mut worker.inventory_parts);
        let reports: BTreeMap<AttemptKey, Report> =
            gathered.into_iter().map(|report| (report.attempt, report)).collect();
        worker.reported = true;
        worker.accounted = true;
        worker.quarantined.clear();
        for resources in std::mem::take(&mut worker.unassigned).into_values() {
            self.fleet.give_back(uid, &resources);
        }
        // Commands sent before this inventory can start nothing any more, because the worker obeys
        // only its present stream.
        let assigned: Vec<AttemptKey> = worker.assigned.keys().copied().collect();
        let missing = assigned.into_iter().filter(|key| !reports.contains_key(key));
        for key in missing.collect::<Vec<_>>() {
            self.settle_missing(ctx, uid, key);
            self.boundary();
        }
        for report in reports.values() {
            self.withdraw_time_out(ctx, uid, report);
            self.boundary();
        }
        let open: Vec<AttemptKey> = reports.keys().copied().collect();
        self.reports(ctx, link, reports.into_values().collect());
        for key in open {
            self.kill_if_wanted(ctx, uid, key);
            self.boundary();
        }
        self.tell_gone_applications(link);
        self.drop_stale_kill_marks(uid);
        self.release_held(ctx);
        self.refresh_eligibility(uid);
        self.emit_worker_event(ctx.now.wall, uid, "its inventory was taken");
    }

    /// Handles an attempt that is assigned to the worker and not in its inventory.
    fn settle_missing(&mut self, ctx: &mut Ctx<'_>, uid: WorkerUid, key: AttemptKey) {
        let Some(worker) = self.workers.get(uid).filter(|worker| worker.assigned.contains_key(&key)) else { return };
        let same_incarnation = self.incarnation_of(key) == Some(worker.record.incarnation);
        let proof = worker.record.capabilities.earlier_ended;
        if let AttemptKey::Driver(driver, _) = key
            && self.restore.holds(driver)
            && (same_incarnation || proof)
        {
            return self.hold_missing_attempt(ctx, driver);
        }
        match (same_incarnation, self.kill_wanted(uid, key)) {
            (true, None | Some((KilledBy::Fence, _))) if self.may_have_run(key) => {
                let message = "the store was restored to an earlier time, and its worker does not have it";
                self.close(ctx, key, Outcome::without_exit(Fault::Platform, Reason::Lost, message));
            }
            (true, Some((by, _))) => {
                let fault = if by == KilledBy::Fence || by == KilledBy::Drain { Fault::Platform } else { Fault::User };
                let outcome = Outcome::without_exit(fault, Reason::NeverStarted, "its worker never had it");
                self.close(ctx, key, outcome);
            }
            (true, None) => self.launch_again(ctx, key),
            (false, _) if proof => {
                let lost = Outcome::without_exit(Fault::Platform, Reason::Lost, "its worker came back without it");
                self.close(ctx, key, lost);
            }
            // A new incarnation without `earlier_ended` proves nothing about earlier ones. A leased
            // attempt is closed only by the end of its lease, another only by an operator.
            (false, _) => {
                self.mark_unreachable(ctx, key);
                if self.is_leased(key) {
                    self.timers.arm(ctx.now.time + self.config.wait, Timer::LeaseEnd(key));
                }
            }
        }
    }

    pub(crate) fn kill_if_wanted(&mut self, ctx: &mut Ctx<'_>, uid: WorkerUid, key: AttemptKey) {
        let assigned = self.workers.get(uid).is_some_and(|worker| worker.assigned.contains_key(&key));
        let Some((by, at_once)) = self.kill_wanted(uid, key).filter(|_| assigned) else { return };
        // Who asked for the end of an executor must be in its record when the end is reported,
        // perhaps to another leader. What enters it there sends the kill, too.
        if let AttemptKey::Executor(application, id) = key
            && by != KilledBy::Fence
            && self.ask_for_executor_end(ctx, application, id, by)
        {
            return;
        }
        self.send_to(uid, key, WorkerCommand::Kill { attempt: key, at_once, by });
    }

    fn launch_again(&mut self, ctx: &mut Ctx<'_>, key: AttemptKey) {
        match key {
            AttemptKey::Driver(uid, _) => self.launch_driver_again(ctx.now, uid),
            AttemptKey::Executor(uid, id) => self.launch_executor_again(ctx.now, uid, id),
        }
    }

    /// Whether the worker fences an attempt when its lease ends.
    pub(crate) fn is_leased(&self, key: AttemptKey) -> bool {
        match key {
            AttemptKey::Driver(uid, _) => self.drivers.get(uid).is_some_and(|driver| driver.is_leased()),
            AttemptKey::Executor(uid, _) => self.applications.get(uid).is_some_and(|application| application.leased),
        }
    }

    /// Marks an attempt that may run without a report. This state is not terminal, and is not
    /// written.
    pub(crate) fn mark_unreachable(&mut self, ctx: &mut Ctx<'_>, key: AttemptKey) {
        match key {
            AttemptKey::Driver(uid, _) => {
                let Some(driver) = self.drivers.get_mut(uid) else { return };
                if driver.record.kill.is_none() {
                    driver.live = DriverState::Unreachable;
                }
                self.emit_driver_event(ctx.now.wall, uid, None, "it may run where nobody hears of it");
            }
            AttemptKey::Executor(uid, id) => {
                let Some(application) = self.applications.get_mut(uid) else { return };
                application.change(id, |executor| {
                    if executor.live != ExecutorState::Killing {
                        executor.live = ExecutorState::Unreachable;
                    }
                });
                self.emit_executor_event(ctx.now.wall, uid, id, "it may run where nobody hears of it");
                self.tell_worker_lost(uid, id);
                self.lose_executor(ctx, uid, id);
            }
        }
    }

    fn tell_gone_applications(&mut self, link: LinkId) {
        let Some(worker) = self.workers.get_mut(link.worker) else { return };
        for application in std::mem::take(&mut worker.ended_apps_to_announce) {
            self.out.send(link, WorkerCommand::ApplicationGone(application));
        }
    }

    /// Whether a report says that nothing of the attempt is left.
    pub(crate) fn says_gone(report: &Report) -> bool {
        matches!(report.state, AttemptState::Ended(_))
    }
}
