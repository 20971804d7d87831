//! The start of a leader. Attempts that ran are unconfirmed until their workers have reported; the
//! handling of a reconnected worker does the rest.

use std::sync::Arc;
use std::time::Duration;

use muster_types::{
    ApplicationRecord, ApplicationState, ApplicationUid, AttemptKey, DriverState, DriverUid, ExecutorState,
    ExecutorsRecord, Now, Snapshot, WallTime, WorkerRecord,
};

use crate::core::{Core, Ctx};
use crate::follower::{Follower, LiveRecords, Term};
use crate::idempotency::RequestEffect;
use crate::restart;
use crate::state::{Application, Driver, Executor, Worker};
use crate::{ClusterInfo, Config, Entropy};

impl Core {
    /// Makes the core of a new leader from a snapshot. The first groups that are drained show
    /// everything to readers.
    pub fn load(config: Config, cluster: ClusterInfo, snapshot: Snapshot, now: Now, entropy: &mut dyn Entropy) -> Core {
        let mut follower = Follower::new(config);
        let term = Term { cluster, commit: snapshot.commit, is_damaged: !snapshot.quarantined.is_empty() };
        snapshot.into_writes().for_each(|write| follower.follow(write));
        follower.lead(term, now, entropy)
    }

    /// Loads the live records. Records of what has ended are in the core already.
    pub(crate) fn take_over(&mut self, alive: LiveRecords, any: bool, ctx: &mut Ctx<'_>) {
        let now = ctx.now;
        for record in alive.workers {
            self.load_worker(now, record);
        }
        let drivers: Vec<_> = alive.drivers.iter().map(|driver| driver.record.uid).collect();
        for driver in alive.drivers {
            self.load_driver(driver);
        }
        let applications: Vec<_> = alive.applications.iter().map(|(record, _)| record.uid).collect();
        for (record, stored) in alive.applications {
            self.load_application(record, stored);
        }
        self.load_requests(now.wall);
        self.load_attempts(&drivers, &applications);
        self.hold_past(now, &drivers);
        self.resume_applications(ctx, &applications);
        self.resume_drivers(ctx, &drivers);
        self.arm_retention(now);
        self.arm_tokens(ctx);
        if any {
            self.assume_forgotten_requests(now.wall);
        }
        self.update_loaded_view(&drivers, &applications);
    }

    fn load_driver(&mut self, driver: Driver) {
        self.requests.load_driver(&driver.record);
        if driver.live.is_terminal() {
            self.retention.keep_driver(&driver.record);
        }
        self.drivers.insert(driver);
    }

    fn load_application(&mut self, record: Arc<ApplicationRecord>, stored: Vec<Arc<ExecutorsRecord>>) {
        let driver = record.driver.as_ref().map(|(driver, _, _)| *driver);
        let driver = driver.and_then(|driver| self.drivers.get_mut(driver));
        let leased = driver.as_ref().is_some_and(|driver| driver.is_leased());
        if let Some(driver) = driver {
            driver.applications.insert(record.uid);
            self.out.touched.drivers.insert(driver.record.uid);
        }
        self.requests.load_application(&record);
        if record.state.is_terminal() {
            self.retention.keep_application(&record);
        }
        self.applications.load(Application::load(record, leased, stored));
    }

    fn load_worker(&mut self, now: Now, record: Arc<WorkerRecord>) {
        let uid = record.uid;
        let worker = Worker::new(record);
        if !worker.record.forgotten {
            self.fleet.upsert(uid, worker.facts());
            self.fleet.set_eligibility(uid, worker.eligibility());
        }
        let is_lost = worker.record.lost;
        self.workers.insert(worker);
        if is_lost {
            self.arm_lost_worker(now, uid);
        }
        self.arm_drain(now, uid);
    }

    /// Loads the request ids of workers; those of drivers and applications are loaded with their
    /// records.
    fn load_requests(&mut self, now: WallTime) {
        for worker in self.workers.iter() {
            for id in &worker.record.requests {
                self.requests.load(now, id.clone(), RequestEffect::OnWorker(worker.record.uid, None));
            }
        }
        self.requests.expire(now);
    }

    /// Refuses ids that an earlier leader may have discarded: those older than the time for which
    /// ids are certainly kept.
    fn assume_forgotten_requests(&mut self, now: WallTime) {
        self.requests.forget_until(now - self.config.kept);
        if let Some(removed) = self.removed_until() {
            // A time in the future comes from a clock that was ahead when that driver ended.
            self.requests.forget_until(removed.min(now));
        }
    }

    /// Holds the resources of open attempts on their workers, and marks the attempts as
    /// unconfirmed.
    fn load_attempts(&mut self, drivers: &[DriverUid], applications: &[ApplicationUid]) {
        let mut open = Vec::new();
        for driver in drivers.iter().filter_map(|uid| self.drivers.get(*uid)) {
            if let Some(attempt) = driver.open_attempt() {
                let key = AttemptKey::Driver(driver.record.uid, attempt.number);
                open.push((attempt.worker, key, attempt.resources.clone()));
            }
        }
        for application in applications.iter().filter_map(|uid| self.applications.get(*uid)) {
            let executors = application.open.iter().filter_map(|id| application.executor(*id));
            open.extend(executors.map(|executor| {
                let record = &executor.record;
                (record.worker, application.key(record.id), record.resources.clone())
            }));
        }
        for (worker, key, resources) in open {
            if self.workers.get(worker).is_some() {
                self.hold_assigned(worker, key, &resources);
            } else {
                self.unplaced_attempts.entry(worker).or_default().push((key, resources));
            }
            let lost = self.workers.get(worker).is_none_or(|worker| worker.record.lost);
            self.unconfirm(key, lost);
        }
    }

    fn unconfirm(&mut self, key: AttemptKey, lost: bool) {
        match key {
            AttemptKey::Driver(uid, _) => {
                let Some(driver) = self.drivers.get_mut(uid) else { return };
                driver.started = driver.open_attempt().and_then(|attempt| attempt.started);
                driver.live = if driver.record.kill.is_some() {
                    DriverState::Killing
                } else if lost {
                    DriverState::Unreachable
                } else {
                    DriverState::Unconfirmed
                };
            }
            AttemptKey::Executor(uid, id) => {
                let Some(application) = self.applications.get_mut(uid) else { return };
                let draining = application
                    .executor(id)
                    .and_then(|executor| self.workers.get(executor.record.worker))
                    .is_some_and(|worker| worker.is_draining());
                application.change(id, |executor| {
                    executor.draining = draining;
                    if lost && executor.record.killed_by.is_none() {
                        executor.live = ExecutorState::Unreachable;
                    }
                });
            }
        }
    }

    /// Starts the whole grace of every session, and goes on with the applications that are ending.
    fn resume_applications(&mut self, ctx: &mut Ctx<'_>, applications: &[ApplicationUid]) {
        let all = applications.iter().filter_map(|uid| self.applications.get(*uid));
        let mut all: Vec<_> = all.map(|application| (application.record.created, application.record.uid)).collect();
        all.sort_unstable();
        for (_, uid) in all {
            let Some(application) = self.applications.get_mut(uid) else { continue };
            let state = application.record.state;
            if state == ApplicationState::Ending {
                application.kill_rest = true;
                self.complete_ending(ctx, uid);
            } else if !state.is_terminal() {
                if self.is_orphaned(uid) {
                    let message = "its driver's attempt ended".to_owned();
                    self.begin_ending(ctx, uid, ApplicationState::Failed, "driver", message, Duration::ZERO);
                } else {
                    self.await_session(ctx.now, uid);
                    self.resume_executor_backoff(ctx, uid);
                }
            }
            self.boundary();
        }
    }

    /// Begins the back-off after an executor's failed launch anew, with the first pause.
    fn resume_executor_backoff(&mut self, ctx: &mut Ctx<'_>, uid: ApplicationUid) {
        let Some(application) = self.applications.get(uid) else { return };
        let has_failed = |executor: &&Executor| {
            let (record, taken_back) = (&executor.record, executor.record.launch_timed_out);
            record.outcome.as_ref().is_some_and(|outcome| restart::is_platform_launch_failure(outcome, taken_back))
        };
        // One that was granted later shows that the pause was over.
        let newest = application.executors().last().filter(has_failed);
        let failed = application.executors().find(|executor| executor.is_taken_back()).or(newest);
        if let Some(id) = failed.map(|executor| executor.record.id) {
            self.lose_executor(ctx, uid, id);
        }
    }

    /// Whether an application belongs to an attempt that is closed.
    fn is_orphaned(&self, uid: ApplicationUid) -> bool {
        let owner = self.applications.get(uid).and_then(|application| application.record.driver.as_ref());
        owner.is_some_and(|(driver, _, number)| {
            let open = self.drivers.get(*driver).and_then(|driver| driver.open_attempt());
            open.is_none_or(|attempt| attempt.number != *number)
        })
    }

    /// Queues the waiting drivers again, in the order of submission. A back-off starts anew.
    fn resume_drivers(&mut self, ctx: &mut Ctx<'_>, drivers: &[DriverUid]) {
        let waiting = drivers.iter().filter_map(|uid| self.drivers.get(*uid));
        let waiting = waiting.filter(|driver| driver.open_attempt().is_none() && !driver.live.is_terminal());
        let mut waiting: Vec<_> = waiting.map(|driver| (driver.record.created, driver.record.uid)).collect();
        waiting.sort_unstable();
        for (_, uid) in waiting {
            let random = ctx.entropy.next();
            if self.keep_held(ctx.now.wall, uid) {
                self.boundary();
                continue;
            }
            let Some(driver) = self.drivers.get_mut(uid) else { continue };
            if driver.live == DriverState::BackingOff {
                let delay = restart::resumed_delay(&driver.record, random);
                self.back_off(ctx.now, uid, delay);
            } else {
                driver.live = DriverState::Pending;
                self.enqueue_driver(uid);
            }
        }
    }

    /// Shows readers everything except what has ended, which the follower has shown already.
    fn update_loaded_view(&mut self, drivers: &[DriverUid], applications: &[ApplicationUid]) {
        let workers: Vec<_> = self.workers.iter().map(|worker| worker.record.uid).collect();
        for uid in workers {
            self.out.touched.workers.insert(uid);
            self.boundary();
        }
        for uid in drivers {
            self.out.touched.drivers.insert(*uid);
            self.boundary();
        }
        for uid in applications {
            self.show_application_whole(*uid);
        }
    }

    /// Shows an application with all its executors.
    pub(crate) fn show_application_whole(&mut self, uid: ApplicationUid) {
        self.out.touched.applications.insert(uid);
        let Some(application) = self.applications.get(uid) else { return };
        let executors: Vec<_> = application.executors().map(|executor| executor.record.id).collect();
        for id in executors {
            self.out.touched.executors.insert((uid, id));
            self.boundary();
        }
    }
}
