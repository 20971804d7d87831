//! Reports of attempts, current or not.

use muster_types::{
    Acknowledgement, AttemptKey, AttemptState, KilledBy, Reason, Report, WallTime, WorkerCommand, WorkerUid,
};

use crate::core::{Core, Ctx};
use crate::restart;
use crate::{Effect, LinkId};

impl Core {
    /// Handles reports, and acknowledges each once its changes are durable. A report of a closed or
    /// unknown attempt is acknowledged, too.
    pub(crate) fn reports(&mut self, ctx: &mut Ctx<'_>, link: LinkId, reports: Vec<Report>) {
        let Some(worker) = self.workers.get_mut(link.worker).filter(|worker| worker.link == Some(link)) else { return };
        if !worker.reported {
            return self.inventory(ctx, link, reports, false);
        }
        let mut taken = Vec::with_capacity(reports.len());
        for report in reports {
            self.take_report(ctx, link, &report);
            taken.push(Acknowledgement { attempt: report.attempt, sequence: report.sequence });
            self.boundary();
        }
        if !taken.is_empty() {
            self.out.effect(Effect::Acknowledge(link, taken));
        }
    }

    fn take_report(&mut self, ctx: &mut Ctx<'_>, link: LinkId, report: &Report) {
        let uid = link.worker;
        let current = self.workers.get(uid).is_some_and(|worker| worker.assigned.contains_key(&report.attempt));
        if current {
            self.judge_launches(ctx, uid, report);
        }
        match (current, report.attempt) {
            (true, AttemptKey::Driver(driver, _)) => self.driver_report(ctx, driver, report),
            (true, AttemptKey::Executor(application, id)) => self.executor_report(ctx, application, id, report),
            (false, _) => return self.take_unassigned(ctx, link, report),
        }
        if Self::says_gone(report) {
            self.tell_if_drained(ctx.now, uid);
        }
        if report.state == AttemptState::Frozen && !self.waits_frozen(uid, report.attempt) {
            self.thaw_if_wanted(ctx, uid, report.attempt);
        }
    }

    /// Notes whether launches succeed on a worker. After a launch that failed because of the
    /// machine, work goes to other workers while they have room; a running attempt shows that the
    /// machine works again, unless its launch came too late and was taken back.
    fn judge_launches(&mut self, ctx: &Ctx<'_>, uid: WorkerUid, report: &Report) {
        let taken_back = self.is_taken_back(report.attempt);
        match &report.state {
            AttemptState::Running if !taken_back => self.set_failing(ctx.now.wall, uid, false),
            AttemptState::Ended(outcome)
                if restart::is_failed_launch(outcome) || restart::is_timed_out_launch(outcome, taken_back) =>
            {
                self.set_failing(ctx.now.wall, uid, true);
            }
            AttemptState::Ended(outcome) if outcome.reason == Reason::NoUser => {
                self.refuse_owner(ctx, uid, report.attempt)
            }
            AttemptState::Running
            | AttemptState::Ended(_)
            | AttemptState::Accepted
            | AttemptState::Killing { .. }
            | AttemptState::Frozen => {}
        }
    }

    /// Keeps the work of an attempt's owner from a worker that has no user left for it. The work of
    /// others runs there as before.
    fn refuse_owner(&mut self, ctx: &Ctx<'_>, uid: WorkerUid, attempt: AttemptKey) {
        let owner = match attempt {
            AttemptKey::Driver(driver, _) => self.drivers.get(driver).and_then(|driver| driver.record.owner.clone()),
            AttemptKey::Executor(application, _) => {
                self.applications.get(application).and_then(|application| application.record.owner.clone())
            }
        };
        if !self.fleet.refuse_owner(uid, owner) {
            self.set_failing(ctx.now.wall, uid, true);
        }
    }

    /// Sets whether launches fail on a worker, and says so when it changes.
    pub(crate) fn set_failing(&mut self, now: WallTime, uid: WorkerUid, failing: bool) {
        if self.fleet.set_failing(uid, failing) {
            let message = if failing {
                "a launch failed on it: work goes to others while they have room"
            } else {
                "launches succeed on it again"
            };
            self.emit_worker_event(now, uid, message);
        }
    }

    /// Thaws an attempt that was frozen when its lease ended, if it is current; kills it if its end
    /// was asked for. Both are commands like a launch, for this stream and incarnation alone, and
    /// the worker obeys a thaw only under a valid lease.
    pub(crate) fn thaw_if_wanted(&mut self, ctx: &mut Ctx<'_>, uid: WorkerUid, key: AttemptKey) {
        if self.kill_wanted(uid, key).is_some() {
            return self.kill_if_wanted(ctx, uid, key);
        }
        let message = "was frozen at the end of its worker's lease, and goes on";
        match key {
            AttemptKey::Driver(driver, _) => self.emit_driver_event(ctx.now.wall, driver, None, message),
            AttemptKey::Executor(application, id) => self.emit_executor_event(ctx.now.wall, application, id, message),
        }
        self.send_to(uid, key, WorkerCommand::Thaw { attempt: key });
    }

    /// Handles an attempt that is not current on this worker. Its resources are in use until its
    /// end is reported.
    fn take_unassigned(&mut self, ctx: &mut Ctx<'_>, link: LinkId, report: &Report) {
        let (uid, key) = (link.worker, report.attempt);
        let unknown = self.leave_unknown && self.is_unknown(uid, key);
        if Self::says_gone(report) {
            return self.end_unassigned(ctx, uid, report, unknown);
        }
        if unknown {
            self.note_frozen(uid, report);
        }
        let Some(worker) = self.workers.get_mut(uid) else { return };
        if worker.unassigned.insert(key, report.resources.clone()).is_some() {
            return;
        }
        self.fleet.hold(uid, &report.resources);
        if unknown {
            return self.quarantine(ctx, uid, key);
        }
        self.out.touched.workers.insert(uid);
        let kill = WorkerCommand::Kill { attempt: key, at_once: true, by: KilledBy::Fence };
        self.out.send(link, kill);
    }

    fn end_unassigned(&mut self, ctx: &mut Ctx<'_>, uid: WorkerUid, report: &Report, unknown: bool) {
        self.note_frozen(uid, report);
        let Some(worker) = self.workers.get_mut(uid) else { return };
        worker.quarantined.remove(&report.attempt);
        worker.marked_for_kill.remove(&report.attempt);
        if let Some(resources) = worker.unassigned.remove(&report.attempt) {
            self.fleet.give_back(uid, &resources);
            self.out.touched.workers.insert(uid);
        }
        if unknown {
            self.tell_unknown_end(ctx, uid, report);
            self.take_unrecorded_end(ctx, uid, report);
            self.tell_if_drained(ctx.now, uid);
        }
        self.release_held(ctx);
    }

    /// The attempts that records assign to a worker.
    pub(crate) fn assigned_to(&self, uid: WorkerUid) -> Vec<AttemptKey> {
        self.workers.get(uid).map(|worker| worker.assigned.keys().copied().collect()).unwrap_or_default()
    }
}
