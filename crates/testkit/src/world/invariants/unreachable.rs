//! An unleased attempt is never closed as lost while its machine is merely out of reach.

use muster_types::{AttemptKey, DriverRecord, Reason};

use super::super::World;

impl World {
    pub(super) fn check_unreachable(&mut self, record: &DriverRecord) {
        if record.spec.on_worker_lost.is_leased() {
            return;
        }
        for attempt in &record.attempts {
            let lost = attempt.outcome.as_ref().is_some_and(|outcome| outcome.reason == Reason::Lost);
            let present = self.recorder.incarnations.get(&attempt.worker);
            let stands = present == Some(&attempt.incarnation)
                && self.workers.iter().any(|machine| machine.uid == attempt.worker && machine.runner.is_some());
            if lost && stands {
                let key = AttemptKey::Driver(record.uid, attempt.number);
                self.violate("out of reach is not lost", key.to_string());
            }
        }
    }
}
