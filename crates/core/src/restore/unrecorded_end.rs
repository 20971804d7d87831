//! The end of an attempt that the store does not know, reported by its worker. It decides what
//! follows for the driver, as the end of any other attempt does.

use muster_types::{
    AttemptKey, AttemptNumber, AttemptRecord, AttemptState, DriverState, DriverUid, Fault, KilledBy, Outcome, Reason,
    Report, Secret, WorkerCommand, WorkerUid,
};

use crate::attempt::push_attempt;
use crate::core::{Core, Ctx};

impl Core {
    /// Applies the end of an attempt that is later than those in the driver's record. Without this,
    /// a driver that has finished would run again.
    pub(crate) fn take_unrecorded_end(&mut self, ctx: &mut Ctx<'_>, worker: WorkerUid, report: &Report) {
        let AttemptKey::Driver(uid, number) = report.attempt else { return };
        let AttemptState::Ended(outcome) = &report.state else { return };
        if !self.can_take_unrecorded_end(uid, number) {
            return;
        }
        self.close_superseded(ctx, uid);
        self.waiting.remove(uid);
        self.adopt(ctx, uid, worker, number, report);
        self.close_attempt(ctx, uid, outcome.clone(), report.started, report.ended);
    }

    /// Refused once an attempt of the present generation was made, and while an earlier attempt
    /// executes: each of these is newer information.
    fn can_take_unrecorded_end(&self, uid: DriverUid, number: AttemptNumber) -> bool {
        self.drivers.get(uid).is_some_and(|driver| {
            let later = driver.newest_attempt().is_none_or(|newest| number > newest);
            let waits = driver.open_attempt().is_none() && !driver.live.is_terminal();
            later && self.may_have_gone_on(driver) && (self.restore.holds(uid) || waits)
        })
    }

    /// Closes the attempt that the record shows as open. The later attempt proves that nothing of
    /// it is left.
    fn close_superseded(&mut self, ctx: &mut Ctx<'_>, uid: DriverUid) {
        let Some((AttemptKey::Driver(_, number), worker)) = self.drivers.get(uid).and_then(|driver| driver.open_key())
        else {
            return;
        };
        let message = "the store was restored to an earlier time; a later attempt had followed";
        let lost = Outcome::without_exit(Fault::Platform, Reason::Lost, message);
        self.end_applications_of(ctx, uid, number, &lost);
        let key = AttemptKey::Driver(uid, number);
        // It may still be frozen there.
        if !self.drivers.get(uid).is_some_and(|driver| driver.absent) {
            self.send_to(worker, key, WorkerCommand::Kill { attempt: key, at_once: true, by: KilledBy::Fence });
        }
        self.release(worker, key);
        self.drivers.placed = self.drivers.placed.saturating_sub(1);
        self.put_driver(ctx.now, uid, |record| {
            if let Some(attempt) = record.attempts.last_mut() {
                attempt.ended = Some(record.updated);
                attempt.outcome = Some(lost);
            }
        });
    }

    /// Enters the attempt as open, to be closed at once. It holds no resources, and its token is
    /// not valid.
    fn adopt(&mut self, ctx: &Ctx<'_>, uid: DriverUid, worker_uid: WorkerUid, number: AttemptNumber, report: &Report) {
        let Some(worker) = self.workers.get_mut(worker_uid) else { return };
        let Some(driver) = self.drivers.get_mut(uid) else { return };
        worker.assigned.insert(AttemptKey::Driver(uid, number), Default::default());
        let attempt = AttemptRecord {
            number,
            worker: worker_uid,
            worker_name: worker.record.name.clone(),
            incarnation: worker.record.incarnation,
            resources: report.resources.clone(),
            token: Secret::new(String::new()),
            assigned: report.started.unwrap_or(ctx.now.wall),
            started: None,
            ended: None,
            outcome: None,
            launch_timed_out: false,
        };
        driver.clear_attempt();
        driver.retry = None;
        driver.live = if driver.record.kill.is_some() { DriverState::Killing } else { DriverState::Launching };
        self.drivers.placed += 1;
        self.put_driver(ctx.now, uid, |record| push_attempt(record, attempt));
    }
}
