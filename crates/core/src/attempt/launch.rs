//! Assignment and launch of attempts, and the recall of a launch without progress.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_types::{
    AllocatedResources, AttemptKey, AttemptNumber, AttemptRecord, AttemptState, DriverRecord, DriverState, DriverUid,
    KEPT_ATTEMPTS, KilledBy, Launch, Now, Report, Secret, WorkerCommand, WorkerUid, Write,
};

use crate::core::{Core, Ctx};
use crate::restore::first_number;
use crate::state::Executor;
use crate::timers::Timer;
use crate::variables::shape_of_driver;

/// Adds an attempt to a record, in which the newest are kept.
pub(crate) fn push_attempt(record: &mut DriverRecord, attempt: AttemptRecord) {
    let surplus = (record.attempts.len() + 1).saturating_sub(KEPT_ATTEMPTS);
    record.attempts.drain(..surplus);
    record.attempts.push(attempt);
}

impl Core {
    /// Writes a new version of a driver's record, with its live state in the form in which it is
    /// stored.
    pub(crate) fn put_driver(&mut self, now: Now, uid: DriverUid, change: impl FnOnce(&mut DriverRecord)) {
        let Some(driver) = self.drivers.get_mut(uid) else { return };
        let stored = match driver.live {
            DriverState::Unreachable | DriverState::Unconfirmed => DriverState::Launching,
            state @ (DriverState::Pending
            | DriverState::Launching
            | DriverState::Running
            | DriverState::Killing
            | DriverState::BackingOff
            | DriverState::Finished
            | DriverState::Failed
            | DriverState::Killed
            | DriverState::Lost
            | DriverState::CrashLoop) => state,
        };
        let record = Arc::make_mut(&mut driver.record);
        record.version += 1;
        record.updated = now.wall;
        record.state = stored;
        change(record);
        self.out.write(Write::PutDriver(Arc::clone(&driver.record)));
        self.out.touched.drivers.insert(uid);
    }

    /// Queues a pending driver for placement, unless part of an earlier copy may still run:
    /// executors of its last attempt are being ended, or after a restore an attempt may run that no
    /// record names.
    pub(crate) fn enqueue_driver(&mut self, uid: DriverUid) {
        let Some(driver) = self.drivers.get(uid) else { return };
        let held = driver
            .applications
            .iter()
            .filter_map(|application| self.applications.get(*application))
            .any(|application| !application.record.state.is_terminal())
            || self.restore.holds(uid);
        if driver.live == DriverState::Pending && driver.open_attempt().is_none() && !held {
            let shape = shape_of_driver(&driver.record.spec, driver.record.owner.as_ref());
            if driver.record.attempts.is_empty() {
                self.waiting.push(uid, shape);
            } else {
                self.waiting.push_front(uid, shape);
            }
        }
    }

    /// Assigns the next attempt of a driver to the worker that placement chose. The fleet has
    /// already taken its resources.
    pub(crate) fn assign_driver(
        &mut self,
        ctx: &mut Ctx<'_>,
        uid: DriverUid,
        worker_uid: WorkerUid,
        resources: AllocatedResources,
    ) {
        let number = self.next_attempt(uid);
        let Some(worker) = self.workers.get_mut(worker_uid) else { return };
        let Some(driver) = self.drivers.get_mut(uid) else { return };
        let key = AttemptKey::Driver(uid, number);
        worker.assigned.insert(key, resources.clone());
        let attempt = AttemptRecord {
            number,
            worker: worker_uid,
            worker_name: worker.record.name.clone(),
            incarnation: worker.record.incarnation,
            resources,
            token: Secret::new(format!("{uid}.{number}.{:032x}", ctx.entropy.next())),
            assigned: ctx.now.wall,
            started: None,
            ended: None,
            outcome: None,
            launch_timed_out: false,
        };
        driver.clear_attempt();
        driver.live = DriverState::Launching;
        self.drivers.placed += 1;
        self.put_driver(ctx.now, uid, |record| push_attempt(record, attempt));
        self.out.touched.workers.insert(worker_uid);
        self.emit_driver_event(ctx.now.wall, uid, None, "");
        self.launch_driver(ctx.now, uid);
    }

    /// A number larger than all earlier ones, including those that a restored store does not know.
    fn next_attempt(&self, uid: DriverUid) -> AttemptNumber {
        let Some(driver) = self.drivers.get(uid) else { return AttemptNumber(1) };
        let next = driver.newest_attempt().map_or(1, |newest| newest.0.saturating_add(1));
        let least = if self.is_past(driver.record.generation) { first_number(self.cluster.generation) } else { 1 };
        AttemptNumber(next.max(least))
    }

    /// Sends the open attempt to its worker. The caller has written the driver in the same group:
    /// every launch follows a guarded write of this term.
    fn launch_driver(&mut self, now: Now, uid: DriverUid) {
        let Some(driver) = self.drivers.get_mut(uid) else { return };
        let Some((key, worker)) = driver.open_key() else { return };
        let Some(launch) = launch_of(&driver.record) else { return };
        driver.launched = Some(now.time);
        self.send_to(worker, key, WorkerCommand::Launch(Arc::new(launch)));
        self.timers.arm(now.time + self.config.launch_progress, Timer::Progress(key));
    }

    /// Launches an attempt again under the same number. The worker's present incarnation never
    /// accepted it, and no older command can start it any more.
    pub(crate) fn launch_driver_again(&mut self, now: Now, uid: DriverUid) {
        let Some(driver) = self.drivers.get_mut(uid) else { return };
        driver.clear_attempt();
        driver.live = DriverState::Launching;
        self.put_driver(now, uid, |_| {});
        self.emit_driver_event(now.wall, uid, None, "launched again: its worker never had it");
        self.launch_driver(now, uid);
    }

    /// Sends a command for an attempt, if its worker is in the attempt's incarnation and has
    /// reported its inventory. Otherwise the inventory of the returning worker decides what is
    /// sent.
    pub(crate) fn send_to(&mut self, worker: WorkerUid, attempt: AttemptKey, command: WorkerCommand) {
        let incarnation = self.incarnation_of(attempt);
        let Some(worker) = self.workers.get_mut(worker) else { return };
        let Some(link) = worker.ready_link() else { return };
        if incarnation.is_some_and(|incarnation| incarnation != worker.record.incarnation) {
            return;
        }
        let repeated = matches!(command, WorkerCommand::Kill { .. }) && !worker.kills.insert(attempt);
        if !repeated {
            self.out.send(link, command);
        }
    }

    /// Takes back a launch of which nothing was heard, by a kill. Missing progress never closes an
    /// attempt: it stays open until its end is reported. That the launch was taken back is written
    /// before the kill is sent, so that every leader to which the end is reported takes it for a
    /// failed launch.
    pub(crate) fn ask_back_driver(&mut self, ctx: &mut Ctx<'_>, key: AttemptKey) {
        let AttemptKey::Driver(uid, _) = key else { return };
        let Some(driver) = self.drivers.get_mut(uid) else { return };
        let Some((open, worker)) = driver.open_key() else { return };
        let stuck = driver.live == DriverState::Launching && !driver.progress && !driver.is_taken_back();
        let due = driver.launched.is_some_and(|at| at + self.config.launch_progress <= ctx.now.time);
        // A disconnected worker may have made progress; its inventory will show it.
        let heard = self.workers.get(worker).is_some_and(|worker| worker.ready_link().is_some());
        if open != key || !stuck || !due || !heard {
            return;
        }
        self.mark_taken_back(ctx.now, key, true);
        self.set_failing(ctx.now.wall, worker, true);
        self.emit_driver_event(ctx.now.wall, uid, None, "its launch made no progress and is asked back");
        self.send_to(worker, key, WorkerCommand::Kill { attempt: key, at_once: true, by: KilledBy::Fence });
    }

    /// Writes whether the launch of an open attempt is taken back.
    pub(crate) fn mark_taken_back(&mut self, now: Now, key: AttemptKey, taken_back: bool) {
        match key {
            AttemptKey::Driver(uid, _) => self.put_driver(now, uid, |record| {
                if let Some(attempt) = record.attempts.last_mut() {
                    attempt.launch_timed_out = taken_back;
                }
            }),
            AttemptKey::Executor(uid, id) => {
                self.change_executor(uid, id, |_, record| record.launch_timed_out = taken_back);
                self.refresh_demand(now, uid);
            }
        }
    }

    /// Whether an attempt is open and its launch was taken back.
    pub(crate) fn is_taken_back(&self, key: AttemptKey) -> bool {
        match key {
            AttemptKey::Driver(uid, number) => self.drivers.get(uid).is_some_and(|driver| {
                driver.is_taken_back() && driver.open_attempt().is_some_and(|open| open.number == number)
            }),
            AttemptKey::Executor(uid, id) => {
                let executor = self.applications.get(uid).and_then(|application| application.executor(id));
                executor.is_some_and(Executor::is_taken_back)
            }
        }
    }

    /// Lets go on what the inventory of a new stream shows as launched after all. The runner
    /// answered for it behind every command that the worker obeyed on older streams, so none of
    /// them was the kill, and none will be.
    pub(crate) fn withdraw_time_out(&mut self, ctx: &Ctx<'_>, worker: WorkerUid, report: &Report) {
        let key = report.attempt;
        let launched = match report.state {
            AttemptState::Accepted | AttemptState::Running | AttemptState::Frozen => true,
            AttemptState::Killing { .. } | AttemptState::Ended(_) => false,
        };
        let assigned = self.workers.get(worker).is_some_and(|worker| worker.assigned.contains_key(&key));
        if !launched || !assigned || !self.is_taken_back(key) {
            return;
        }
        self.mark_taken_back(ctx.now, key, false);
        let message = "its launch made progress after all, and goes on";
        match key {
            AttemptKey::Driver(uid, _) => self.emit_driver_event(ctx.now.wall, uid, None, message),
            AttemptKey::Executor(uid, id) => self.emit_executor_event(ctx.now.wall, uid, id, message),
        }
    }
}

/// The launch of the newest attempt.
fn launch_of(record: &DriverRecord) -> Option<Launch> {
    let attempt = record.attempts.last()?;
    let spec = &record.spec;
    Some(Launch {
        attempt: AttemptKey::Driver(record.uid, attempt.number),
        id: record.id.to_string(),
        leased: spec.on_worker_lost.is_leased(),
        command: Arc::clone(&spec.command),
        artifacts: Arc::clone(&spec.artifacts),
        resources: attempt.resources.clone(),
        kill_grace: spec.kill_grace,
        log_limit: spec.log_limit,
        token: Some(attempt.token.clone()),
        variables: BTreeMap::from([
            ("DRIVER_ID".to_owned(), record.id.to_string()),
            ("ATTEMPT".to_owned(), attempt.number.to_string()),
        ]),
        resources_component: Arc::from("driver"),
        owner: record.owner.clone(),
        run_as: spec.run_as.clone(),
        trace: record.trace,
    })
}
