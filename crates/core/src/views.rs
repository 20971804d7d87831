//! The views for readers, and the events of changes.

use std::sync::Arc;

use muster_types::{ApplicationUid, DriverUid, Event, ExecutorId, Outcome, Subject, WallTime, WorkerUid};

use crate::core::Core;
use crate::{ApplicationView, DriverView, ExecutorView, ProfileView, WorkerView};

impl Core {
    pub(crate) fn shown_driver(&self, uid: DriverUid) -> Option<Arc<DriverView>> {
        let driver = self.drivers.get(uid)?;
        let mut record = Arc::clone(&driver.record);
        if record.state != driver.live {
            Arc::make_mut(&mut record).state = driver.live;
        }
        if let Some(started) = driver.started
            && driver.open_attempt().is_some_and(|attempt| attempt.started.is_none())
            && let Some(attempt) = Arc::make_mut(&mut record).attempts.last_mut()
        {
            attempt.started = Some(started);
        }
        let applications = driver.applications.iter().filter_map(|uid| self.applications.get(*uid));
        Some(Arc::new(DriverView {
            record,
            pid: driver.pid,
            retry: driver.retry.map(|(_, wall)| wall),
            pending: None,
            wait_channel: driver.wait_channel.clone(),
            applications: applications.map(|application| application.record.id.clone()).collect(),
        }))
    }

    pub(crate) fn shown_application(&self, uid: ApplicationUid) -> Option<Arc<ApplicationView>> {
        let application = self.applications.get(uid)?;
        let mut record = Arc::clone(&application.record);
        if record.state != application.live() || record.next_executor != application.next_executor {
            let record = Arc::make_mut(&mut record);
            record.state = application.live();
            record.next_executor = application.next_executor;
        }
        let profiles = application
            .profiles()
            .map(|profile| ProfileView {
                profile: profile.id,
                target: application.target(profile.id),
                running: application.counts(profile.id).running,
                launching: application.counts(profile.id).launching,
                pending: None,
            })
            .collect();
        Some(Arc::new(ApplicationView { record, session: application.session, profiles }))
    }

    pub(crate) fn shown_executor(&self, uid: ApplicationUid, id: ExecutorId) -> Option<Arc<ExecutorView>> {
        let application = self.applications.get(uid)?;
        let executor = application.executor(id)?;
        let mut record = Arc::clone(&executor.record);
        if record.state != executor.live || (record.started != executor.started && executor.started.is_some()) {
            let record = Arc::make_mut(&mut record);
            record.state = executor.live;
            record.started = executor.started.or(record.started);
        }
        Some(Arc::new(ExecutorView {
            application: uid,
            application_id: application.record.id.clone(),
            record,
            pid: executor.pid,
            draining: executor.draining && executor.is_open(),
        }))
    }

    pub(crate) fn shown_worker(&self, uid: WorkerUid) -> Option<Arc<WorkerView>> {
        let worker = self.workers.get(uid)?;
        let executors = worker.assigned.keys().filter(|key| key.is_executor()).count();
        let drivers = worker.assigned.len() - executors;
        Some(Arc::new(WorkerView {
            record: Arc::clone(&worker.record),
            state: worker.state(),
            used: self.fleet.used(uid).unwrap_or_default(),
            drivers: u32::try_from(drivers).unwrap_or(u32::MAX),
            executors: u32::try_from(executors).unwrap_or(u32::MAX),
            connected: worker.connected,
            quarantined: worker.quarantined.iter().map(ToString::to_string).collect(),
        }))
    }

    /// Emits an event that a driver changed, and shows the change to readers when the group is
    /// closed.
    pub(crate) fn emit_driver_event(&mut self, now: WallTime, uid: DriverUid, outcome: Option<Outcome>, message: &str) {
        self.out.touched.drivers.insert(uid);
        let Some(driver) = self.drivers.get(uid) else { return };
        let attempt = driver.record.attempts.last();
        let subject = Subject::Driver {
            id: driver.record.id.clone(),
            uid,
            state: driver.live,
            attempt: attempt.map(|attempt| attempt.number),
            worker: attempt.map(|attempt| attempt.worker_name.clone()),
            outcome,
        };
        self.out.event(Event { time: now, message: message.to_owned(), subject });
    }

    /// Emits an event that an application changed.
    pub(crate) fn emit_application_event(&mut self, now: WallTime, uid: ApplicationUid, message: &str) {
        self.out.touched.applications.insert(uid);
        let Some(application) = self.applications.get(uid) else { return };
        let subject = Subject::Application { id: application.record.id.clone(), uid, state: application.live() };
        self.out.event(Event { time: now, message: message.to_owned(), subject });
    }

    /// Emits an event that an executor changed.
    pub(crate) fn emit_executor_event(&mut self, now: WallTime, uid: ApplicationUid, id: ExecutorId, message: &str) {
        self.out.touched.executors.insert((uid, id));
        self.out.touched.applications.insert(uid);
        let Some(application) = self.applications.get(uid) else { return };
        let Some(executor) = application.executor(id) else { return };
        let subject = Subject::Executor {
            application: application.record.id.clone(),
            uid,
            executor: id,
            profile: executor.record.profile,
            state: executor.live,
            worker: executor.record.worker_name.clone(),
            outcome: executor.record.outcome.clone(),
        };
        self.out.event(Event { time: now, message: message.to_owned(), subject });
    }

    /// Emits an event that a worker changed.
    pub(crate) fn emit_worker_event(&mut self, now: WallTime, uid: WorkerUid, message: &str) {
        self.out.touched.workers.insert(uid);
        let Some(worker) = self.workers.get(uid) else { return };
        let subject = Subject::Worker {
            name: worker.record.name.clone(),
            uid,
            state: worker.state(),
            draining: worker.is_draining(),
        };
        self.out.event(Event { time: now, message: message.to_owned(), subject });
    }
}
