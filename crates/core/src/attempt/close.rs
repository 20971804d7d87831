//! Closing an attempt. The driver's next state is decided and written in one group with the
//! outcome.

use std::time::Duration;

use muster_types::{AttemptKey, AttemptNumber, DriverState, DriverUid, Fault, Now, Outcome, Reason, WallTime};

use crate::core::{Core, Ctx};
use crate::restart::{self, AfterExit};
use crate::timers::Timer;

impl Core {
    /// Closes the open attempt of a driver. The caller has one of the proofs of I-CLOSE that
    /// nothing of it is left.
    pub(crate) fn close_attempt(
        &mut self,
        ctx: &mut Ctx<'_>,
        uid: DriverUid,
        outcome: Outcome,
        started: Option<WallTime>,
        ended: Option<WallTime>,
    ) {
        let Some(driver) = self.drivers.get_mut(uid) else { return };
        let Some((key, worker)) = driver.open_key() else { return };
        let outcome = restart::judge(outcome, driver.record.kill.is_some());
        let mut outcome = restart::name_time_out(outcome, driver.is_taken_back());
        let started = started.or(driver.started);
        let ended = ended.unwrap_or(ctx.now.wall);
        // Its applications come first: in every prefix of the groups, the applications of a closed
        // attempt are at least ending.
        let AttemptKey::Driver(_, number) = key else { return };
        self.end_applications_of(ctx, uid, number, &outcome);
        self.release(worker, key);
        self.drivers.placed = self.drivers.placed.saturating_sub(1);
        let (next, tally) = self.decide_next(ctx, uid, &outcome, (started, ended));
        let Some(driver) = self.drivers.get_mut(uid) else { return };
        driver.clear_attempt();
        driver.live = match next {
            AfterExit::End(state) => state,
            AfterExit::Again(Duration::ZERO) => DriverState::Pending,
            AfterExit::Again(_) => DriverState::BackingOff,
            AfterExit::GiveUp(_) => DriverState::Failed,
        };
        let mut message = String::new();
        if let AfterExit::GiveUp(failures) = next {
            message = format!("{failures} launches in a row have failed");
            outcome.message = match outcome.message.as_str() {
                "" => message.clone(),
                last => format!("{message}, the last one: {last}"),
            };
        }
        let is_over = driver.live.is_terminal();
        let reported = outcome.clone();
        self.put_driver(ctx.now, uid, |record| {
            record.failures = tally.failures;
            record.consecutive_failures = tally.consecutive;
            record.ended = is_over.then_some(record.updated);
            if let Some(attempt) = record.attempts.last_mut() {
                attempt.started = started;
                attempt.ended = Some(ended);
                attempt.outcome = Some(outcome);
            }
        });
        if let AfterExit::Again(delay) = next {
            self.back_off(ctx.now, uid, delay);
        }
        self.emit_driver_event(ctx.now.wall, uid, Some(reported), &message);
        if is_over {
            self.restore.release(uid);
            self.finish_driver(ctx.now, uid);
        }
    }

    fn decide_next(
        &mut self,
        ctx: &mut Ctx<'_>,
        uid: DriverUid,
        outcome: &Outcome,
        (started, ended): (Option<WallTime>, WallTime),
    ) -> (AfterExit, restart::RestartWindow) {
        let random = ctx.entropy.next();
        let ran = started.map_or(Duration::ZERO, |started| Duration::from_millis(ended.0.saturating_sub(started.0)));
        let Some(driver) = self.drivers.get(uid) else {
            return (
                AfterExit::End(DriverState::Failed),
                restart::RestartWindow { failures: Vec::new(), consecutive: 0 },
            );
        };
        let mut closed = (*driver.record).clone();
        if let Some(attempt) = closed.attempts.last_mut() {
            attempt.ended = Some(ended);
            attempt.outcome = Some(outcome.clone());
        }
        restart::next(&closed, outcome, ran, ctx.now.wall, self.config.max_launch_failures, random)
    }

    /// Starts the back-off before the next attempt; without a delay, the driver waits for a worker
    /// at once.
    pub(crate) fn back_off(&mut self, now: Now, uid: DriverUid, delay: Duration) {
        if delay.is_zero() {
            return self.enqueue_driver(uid);
        }
        let at = now.time + delay;
        let wall = now.wall + delay;
        if let Some(driver) = self.drivers.get_mut(uid) {
            driver.retry = Some((at, wall));
        }
        self.timers.arm(at, Timer::Retry(uid));
    }

    /// Ends a back-off. This is not written: a new leader that reads the back-off starts it anew,
    /// which is only later and therefore safe.
    pub(crate) fn end_backoff(&mut self, ctx: &mut Ctx<'_>, uid: DriverUid) {
        let Some(driver) = self.drivers.get_mut(uid) else { return };
        let due = driver.retry.is_some_and(|(at, _)| at <= ctx.now.time);
        if driver.live == DriverState::BackingOff && due {
            driver.retry = None;
            driver.live = DriverState::Pending;
            self.emit_driver_event(ctx.now.wall, uid, None, "its back-off is over");
            self.enqueue_driver(uid);
        }
    }

    /// Closes a leased attempt whose lease has certainly ended, after its best-effort worker came
    /// back with another incarnation.
    pub(crate) fn end_lease(&mut self, ctx: &mut Ctx<'_>, key: AttemptKey) {
        let lost = Outcome::without_exit(Fault::Platform, Reason::Lost, "its worker came back without it");
        self.close(ctx, key, lost);
    }

    /// Closes any kind of attempt, if it is this one that is open.
    pub(crate) fn close(&mut self, ctx: &mut Ctx<'_>, key: AttemptKey, outcome: Outcome) {
        match key {
            AttemptKey::Driver(uid, number) if self.is_open(uid, number) => {
                self.close_attempt(ctx, uid, outcome, None, None);
            }
            AttemptKey::Executor(uid, id) => self.close_executor(ctx, uid, id, outcome, None, None),
            AttemptKey::Driver(..) => {}
        }
    }

    fn is_open(&self, uid: DriverUid, number: AttemptNumber) -> bool {
        self.drivers.get(uid).and_then(|driver| driver.open_attempt()).is_some_and(|open| open.number == number)
    }
}
