//! The end of the lease: a tree is frozen, so that it executes nothing while it may run elsewhere,
//! and goes on once a leader has confirmed it.

use std::time::Duration;

use muster_agent::runner_protocol::Renewal;
use muster_types::{AttemptKey, Fault, Now, Reason};

use super::{Attempt, Freeze, Stage};
use crate::world::World;
use crate::world::event::Event;
use crate::world::plan::FENCE_KILL_AFTER;
use crate::world::sabotage::Sabotage;

/// A tree that is not frozen by then is killed.
const FREEZE_LIMIT: Duration = Duration::from_millis(300);

impl World {
    /// Stops every attempt whose lease is over, at once: it is frozen where that works, and killed
    /// otherwise.
    pub(super) fn fence(&mut self, worker: usize, now: Now) {
        let Some(runner) = &mut self.workers[worker].runner else { return };
        for key in runner.fence.expire(now) {
            self.count("lease ended");
            self.note(|| format!("worker {worker}: the lease of {key} ends"));
            if !self.freeze(worker, key, now) {
                self.kill_for_lease(worker, key, now);
            }
        }
    }

    /// Returns false where the attempt must be killed instead: without a freezer, and while it is
    /// being started.
    fn freeze(&mut self, worker: usize, key: AttemptKey, now: Now) -> bool {
        let machine = &mut self.workers[worker];
        let (freezer, runner) = (machine.freezer, machine.runner_life);
        let Some(attempt) = self.attempt(worker, key) else { return true };
        if !freezer || !matches!(attempt.stage, Stage::Running) || attempt.stop.is_some() {
            return false;
        }
        attempt.freeze = Some(Freeze::Asked { until: now.time + FREEZE_LIMIT });
        // A process that waits in the kernel freezes late, or too late.
        let longest = if self.rng.chance(100) { 500_000 } else { 20_000 };
        let pause = Duration::from_micros(self.rng.between(100, longest));
        self.after(pause, Event::Frozen { worker, runner, attempt: key });
        self.arm_runner(worker);
        true
    }

    /// Checks whether trees are frozen by now, or have waited for too long.
    pub(super) fn look_at_freezes(&mut self, worker: usize, now: Now) {
        let machine = &self.workers[worker];
        let Some(runner) = &machine.runner else { return };
        let is_frozen = |key: &AttemptKey| machine.trees.get(key).is_some_and(|tree| tree.frozen);
        let looks = runner.attempts.iter().filter_map(|(key, attempt)| Some((*key, attempt.freeze?, is_frozen(key))));
        for (key, freeze, frozen) in looks.collect::<Vec<_>>() {
            match freeze {
                Freeze::Asked { .. } if frozen => {
                    if let Some(attempt) = self.attempt(worker, key) {
                        attempt.freeze = Some(Freeze::Frozen { until: now.time + FENCE_KILL_AFTER });
                    }
                    self.count("tree frozen");
                    self.change(worker, key);
                }
                Freeze::Asked { until } if until <= now.time => {
                    self.count("tree not frozen in time");
                    self.kill_for_lease(worker, key, now);
                }
                Freeze::Frozen { until } if until <= now.time => {
                    self.count("tree not confirmed in time");
                    self.kill_for_lease(worker, key, now);
                }
                Freeze::Asked { .. } | Freeze::Frozen { .. } => {}
            }
        }
    }

    /// Thaws an attempt that a leader has confirmed, which counts only while the lease stands.
    pub(super) fn thaw(&mut self, worker: usize, key: AttemptKey, now: Now) {
        let unfenced = self.sabotaged(Sabotage::ThawWithoutLease);
        let Some(runner) = &mut self.workers[worker].runner else { return };
        let frozen = runner.attempts.get(&key).is_some_and(|attempt| attempt.freeze.is_some());
        if !frozen {
            return self.report(worker, key);
        }
        if !runner.fence.admit(key, now) && !unfenced {
            self.count("thaw refused without a lease");
            return self.report(worker, key);
        }
        if let Some(attempt) = self.attempt(worker, key) {
            attempt.freeze = None;
        }
        self.count("tree thawed");
        self.thaw_tree(worker, key);
        self.change(worker, key);
    }

    /// If a lease that was over stands again, frozen attempts are reported again: a confirmation
    /// that a leader sent meanwhile had no effect.
    pub(super) fn renew(&mut self, worker: usize, renewal: Renewal, now: Now) {
        let Some(runner) = &mut self.workers[worker].runner else { return };
        let stood = runner.fence.stands(now);
        let is_news = runner.fence.renew(renewal, now);
        let stands = runner.fence.stands(now);
        // Attempts that a gap has ended are stopped before anything else is done.
        self.fence(worker, now);
        if !is_news || stood || !stands {
            return;
        }
        let Some(runner) = &mut self.workers[worker].runner else { return };
        let frozen = runner.attempts.iter().filter(|(_, attempt)| Attempt::is_frozen(attempt));
        for key in frozen.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.change(worker, key);
        }
    }

    fn kill_for_lease(&mut self, worker: usize, key: AttemptKey, now: Now) {
        self.stop(worker, key, (Reason::LeaseEnded, Fault::Platform), Duration::ZERO, now);
    }
}
