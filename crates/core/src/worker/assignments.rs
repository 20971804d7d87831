//! The resources in use on a worker: those of everything in its inventory that is not reported as
//! ended, whether or not it is current, and those of what is assigned to it and not yet reported.
//! Each attempt is held in the fleet once.

use std::sync::Arc;

use muster_types::{
    AllocatedResources, AttemptKey, Incarnation, KilledBy, Now, RequestId, WorkerRecord, WorkerUid, Write,
};

use crate::core::Core;

/// Request ids kept in a worker's record.
const KEPT_WORKER_REQUESTS: usize = 8;

impl Core {
    /// Writes a worker's record, and updates placement.
    pub(crate) fn put_worker(&mut self, uid: WorkerUid, change: impl FnOnce(&mut WorkerRecord)) {
        let Some(worker) = self.workers.get_mut(uid) else { return };
        change(Arc::make_mut(&mut worker.record));
        self.out.write(Write::PutWorker(Arc::clone(&worker.record)));
        self.fleet.upsert(uid, worker.facts());
        self.refresh_eligibility(uid);
    }

    pub(crate) fn remember_on_worker(record: &mut WorkerRecord, request: Option<RequestId>) {
        record.requests.extend(request);
        let surplus = record.requests.len().saturating_sub(KEPT_WORKER_REQUESTS);
        record.requests.drain(..surplus);
    }

    pub(crate) fn refresh_eligibility(&mut self, uid: WorkerUid) {
        self.out.touched.workers.insert(uid);
        if let Some(worker) = self.workers.get(uid) {
            self.fleet.set_eligibility(uid, worker.eligibility());
        }
    }

    /// Holds the resources of an attempt that a record assigns to a worker; used when a leader
    /// starts.
    pub(crate) fn hold_assigned(&mut self, uid: WorkerUid, key: AttemptKey, resources: &AllocatedResources) {
        let Some(worker) = self.workers.get_mut(uid) else { return };
        if worker.assigned.insert(key, resources.clone()).is_none() {
            self.fleet.hold(uid, resources);
        }
    }

    /// Gives back the resources of a closed attempt.
    pub(crate) fn release(&mut self, uid: WorkerUid, key: AttemptKey) {
        let Some(worker) = self.workers.get_mut(uid) else { return };
        worker.kills.remove(&key);
        if let Some(resources) = worker.assigned.remove(&key) {
            self.fleet.give_back(uid, &resources);
        }
        self.out.touched.workers.insert(uid);
    }

    /// Emits an event if nothing is left on a draining worker. Called after the event of what ended
    /// there.
    pub(crate) fn tell_if_drained(&mut self, now: Now, uid: WorkerUid) {
        let drained = self
            .workers
            .get(uid)
            .is_some_and(|worker| worker.is_draining() && worker.assigned.is_empty() && worker.quarantined.is_empty());
        if drained {
            self.emit_worker_event(now.wall, uid, "drained: nothing is left on it");
        }
    }

    /// The incarnation that an open attempt was assigned to.
    pub(crate) fn incarnation_of(&self, key: AttemptKey) -> Option<Incarnation> {
        match key {
            AttemptKey::Driver(uid, _) => self.drivers.get(uid)?.open_attempt().map(|attempt| attempt.incarnation),
            AttemptKey::Executor(uid, id) => {
                self.applications.get(uid)?.executor(id).map(|executor| executor.record.incarnation)
            }
        }
    }

    /// Who asked for the end of an open attempt, if anybody did, and whether it is to end at once.
    pub(crate) fn kill_wanted(&self, worker: WorkerUid, key: AttemptKey) -> Option<(KilledBy, bool)> {
        let drained = self.workers.get(worker).is_some_and(|worker| worker.drain_over);
        let drain = drained.then_some((KilledBy::Drain, false));
        match key {
            AttemptKey::Driver(uid, _) => {
                let driver = self.drivers.get(uid)?;
                let asked = driver.record.kill.as_ref().map(|kill| (kill.by, false));
                asked.or(driver.is_taken_back().then_some((KilledBy::Fence, true))).or(drain)
            }
            AttemptKey::Executor(uid, id) => {
                let application = self.applications.get(uid)?;
                let executor = application.executor(id)?;
                let asked = executor.record.killed_by.map(|by| (by, false));
                let over = application.kill_rest.then(|| (application.killer(), false));
                asked.or(over).or(executor.is_taken_back().then_some((KilledBy::Fence, true))).or(drain)
            }
        }
    }
}
