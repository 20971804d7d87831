//! No leader grants executors beyond their target.

use muster_types::{ExecutorsRecord, WorkerUid};

use super::super::World;

impl World {
    pub(super) fn witness_unreachable(&mut self, worker: WorkerUid) {
        let fold = &self.store.ledger.fold;
        for uid in fold.applications.keys() {
            let all = fold.executors_of(*uid);
            let there = all.values().filter(|executor| executor.worker == worker && executor.outcome.is_none());
            self.recorder.unreachable.extend(there.map(|executor| (*uid, executor.id)));
        }
    }

    pub(super) fn check_targets(&mut self, record: &ExecutorsRecord) {
        let uid = record.application;
        let mut fresh = false;
        for executor in &record.executors {
            fresh |= self.recorder.granted.insert((uid, executor.id));
        }
        let fold = &self.store.ledger.fold;
        let Some(application) = fold.applications.get(&uid).filter(|_| fresh) else { return };
        let reachable = |id| !self.recorder.unreachable.contains(&(uid, id));
        for (profile, target) in &application.targets {
            let all = fold.executors_of(uid);
            let open = all.values().filter(|executor| {
                let ends = executor.killed_by.is_some() || executor.launch_timed_out;
                let counts = executor.outcome.is_none() && !ends;
                executor.profile == *profile && counts && reachable(executor.id)
            });
            let newest = all.values().filter(|executor| executor.profile == *profile).map(|executor| executor.id).max();
            let granted_now =
                record.executors.iter().any(|executor| Some(executor.id) == newest && executor.outcome.is_none());
            let open = open.count();
            if granted_now && open > *target as usize {
                let what = format!("{uid}: {open} open, {target} wanted");
                return self.violate("executors within targets", what);
            }
        }
        self.count("executor granted");
    }
}
