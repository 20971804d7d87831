//! A current and healthy attempt is never killed as a stray. One whose launch is taken back by its
//! record is not healthy.

use muster_types::{AttemptKey, KilledBy};

use super::super::World;

impl World {
    pub(in crate::world) fn witness_kill(&mut self, worker: usize, key: AttemptKey, by: KilledBy, at_once: bool) {
        let machine = &self.workers[worker];
        let executes = machine.trees.get(&key).is_some_and(|tree| tree.main);
        if by != KilledBy::Fence || !at_once || !executes {
            return;
        }
        let here = machine.runner.as_ref().map(|runner| (machine.uid, runner.incarnation));
        let current = match key {
            AttemptKey::Driver(uid, number) => self.store.ledger.fold.drivers.get(&uid).is_some_and(|record| {
                let open = record.attempts.last().filter(|open| open.number == number && open.outcome.is_none());
                record.kill.is_none()
                    && open.is_some_and(|open| !open.launch_timed_out)
                    && open.map(|open| (open.worker, open.incarnation)) == here
            }),
            AttemptKey::Executor(uid, id) => self.store.ledger.fold.executor(uid, id).is_some_and(|executor| {
                let here = here == Some((executor.worker, executor.incarnation));
                let wanted = executor.killed_by.is_none() && !executor.launch_timed_out;
                executor.outcome.is_none() && wanted && here
            }),
        };
        self.count("stray killed");
        if current {
            self.violate("what is healthy is not killed", format!("{key} on {}", self.workers[worker].name));
        }
    }
}
