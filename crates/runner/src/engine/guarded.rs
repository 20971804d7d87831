//! How the main loop and the guard work together.

use muster_types::{AttemptKey, Now};

use super::attempt::AttemptStage;
use super::attempts::AttemptTable;

impl AttemptTable {
    /// Tells the guard how the lease stands and what is stopped. Nothing that a renewal allows is
    /// done before the guard can read that renewal: otherwise nothing would end it if the runner
    /// were stopped in between.
    pub(super) fn tell_guard(&mut self, now: Now) {
        let (ended, stated) = (self.fence.ended_term(), self.guard.stopped());
        let stopped = if ended > stated && self.earlier_is_stopped() { ended } else { stated };
        self.guard.tell(&self.fence, stopped, now);
    }

    /// Tells the guard, then starts what waited for its answer.
    pub(super) fn mind_guard(&mut self, now: Now) {
        self.tell_guard(now);
        if !self.waiting.is_empty() && self.guard.lets_start(&self.fence, now) {
            self.start_waiting();
        }
    }

    /// Whether each leased attempt that is not held under the present lease is stopped by itself.
    fn earlier_is_stopped(&self) -> bool {
        self.all.iter().all(|(key, attempt)| !attempt.accepted.leased || self.fence.holds(key) || attempt.is_stopped())
    }

    fn start_waiting(&mut self) {
        for (key, (program, limits)) in std::mem::take(&mut self.waiting) {
            let is_accepted = |key: &AttemptKey| {
                self.all.get(key).is_some_and(|attempt| matches!(attempt.stage, AttemptStage::Accepted))
            };
            if is_accepted(&key) && self.fence.holds(&key) {
                self.queue_start(key, program, limits);
            }
        }
    }
}
