//! Executors are not granted beyond their target, by whoever leads.

use muster_types::ExecutorsRecord;

use super::super::World;

impl World {
    pub(super) fn check_targets(&mut self, record: &ExecutorsRecord) {
        let uid = record.application;
        let mut fresh = false;
        for executor in &record.executors {
            fresh |= self.witness.granted.insert((uid, executor.id));
        }
        let fold = &self.store.ledger.fold;
        let Some(application) = fold.applications.get(&uid).filter(|_| fresh) else { return };
        let reachable = |worker| fold.workers.get(&worker).is_some_and(|worker| !worker.lost && !worker.forgotten);
        for (profile, target) in &application.targets {
            let all = fold.executors_of(uid);
            let open = all.values().filter(|executor| {
                let counts = executor.outcome.is_none() && executor.killed_by.is_none();
                executor.profile == *profile && counts && reachable(executor.worker)
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
