//! The end of the lease: a tree is frozen, so that it executes nothing while it may run elsewhere,
//! and goes on once a leader has confirmed it.
//!
//! None of this is in the journal: a frozen tree ends with its runner, and the runner itself
//! reports it to an agent that connects. So a runner of an older version can read this one's
//! journal.

use std::time::Duration;

use muster_agent::runner_protocol::{KillReason, Renewal};
use muster_types::{AttemptKey, Fault, KilledBy, Now, Reason};

use super::attempt::{AttemptStage, FreezeState, TrackedAttempt};
use super::attempts::AttemptTable;
use super::lifecycle::StopOrder;
use super::reason;
use crate::clock;

/// A tree that is not frozen by then is killed: one of its processes waits in the kernel, and it is
/// unknown when that one would go on. Freezing takes milliseconds. The limit is a quarter of the
/// margin by which every lease ends before anything runs elsewhere.
const FREEZE_LIMIT: Duration = Duration::from_millis(500);

/// A tree that is still not frozen is let go for an instant and frozen again. In the first version
/// of cgroups a process that is caught in the middle of a fork can keep its tree half frozen for as
/// long as the tree is left so; an instant later it is no longer in the middle of a fork.
const UNSTICK: Duration = Duration::from_millis(50);

/// Time between two looks at a tree that is to freeze.
const FREEZE_LOOK: Duration = Duration::from_millis(1);

const LEASE_ENDED: &str = "the worker's lease ended";
const NOT_FROZEN: &str = "the worker's lease ended and it could not be frozen";
const NOT_CONFIRMED: &str = "it was frozen at the end of the worker's lease and nobody confirmed it in time";
const NOT_THAWED: &str = "it was frozen at the end of the worker's lease and could not be thawed";

/// What is done at the lease's end.
#[derive(Debug, Clone, Copy)]
pub(super) struct FreezeRule {
    /// How long a frozen tree waits for a leader to confirm it; zero kills at the lease's end.
    pub(super) kill_after: Duration,
    /// Whether the newest agent can pass on a thaw.
    pub(super) agent_thaws: bool,
}

impl AttemptTable {
    /// Stops every attempt whose lease is over, at once: it is frozen where that works, and killed
    /// otherwise.
    pub(super) fn fence(&mut self, now: Now) {
        for key in self.fence.expire(now) {
            if !self.freeze(key, now) {
                self.kill_for_lease(key, LEASE_ENDED, now);
            }
        }
    }

    /// Returns false where the attempt must be killed instead, also while it is being started: its
    /// process may be anywhere on its way into the tree.
    fn freeze(&mut self, key: AttemptKey, now: Now) -> bool {
        let wanted = self.freeze_rule.agent_thaws && !self.freeze_rule.kill_after.is_zero();
        let Some(attempt) = self.all.get_mut(&key) else { return true };
        let runs = matches!(attempt.stage, AttemptStage::Running(_)) && attempt.stop.is_none();
        if !wanted || !runs || !self.trees.freeze(&attempt.tree()) {
            return false;
        }
        attempt.freeze = Some(FreezeState::Asked { until: now.time + FREEZE_LIMIT, unstick: now.time + UNSTICK });
        self.check_freeze(key, now);
        true
    }

    /// Checks whether a tree is frozen by now, or has waited for too long.
    pub(super) fn check_freeze(&mut self, key: AttemptKey, now: Now) {
        let Some(attempt) = self.all.get_mut(&key) else { return };
        match attempt.freeze {
            Some(FreezeState::Asked { .. }) if self.trees.is_frozen(&attempt.tree()) => {
                let until = now.time + self.freeze_rule.kill_after;
                attempt.freeze = Some(FreezeState::Frozen { until });
                self.wake_at(key, Some(until));
                self.change(key);
            }
            Some(FreezeState::Asked { until, .. }) if until <= now.time => self.kill_for_lease(key, NOT_FROZEN, now),
            Some(FreezeState::Asked { until, unstick }) if unstick <= now.time => {
                if !self.trees.thaw(&attempt.tree()) || !self.trees.freeze(&attempt.tree()) {
                    return self.kill_for_lease(key, NOT_FROZEN, now);
                }
                attempt.freeze = Some(FreezeState::Asked { until, unstick: now.time + UNSTICK });
                self.wake_at(key, Some(now.time + FREEZE_LOOK));
            }
            Some(FreezeState::Asked { .. }) => self.wake_at(key, Some(now.time + FREEZE_LOOK)),
            Some(FreezeState::Frozen { until }) if until <= now.time => self.kill_for_lease(key, NOT_CONFIRMED, now),
            Some(FreezeState::Frozen { until }) => self.wake_at(key, Some(until)),
            None => {}
        }
    }

    /// Thaws an attempt that a leader has confirmed. As with a start, that counts only while the
    /// lease stands: otherwise the attempt stays frozen.
    pub(super) fn thaw(&mut self, key: AttemptKey, now: Now) {
        let is_frozen = self.all.get(&key).is_some_and(|attempt| attempt.freeze.is_some());
        if !is_frozen || !self.fence.stands(now) {
            return self.tell(key);
        }
        // The guard is told while the tree still counts as stopped, and before it goes on.
        self.tell_guard(now);
        // The clock is read again: if the runner, and with it the message to the guard, was held up
        // until now, nothing may go on under a lease that has ended meanwhile. If the runner is
        // held up after this point, it finds the guard's brake closed.
        if !self.fence.admit(key, clock::now()) {
            return self.tell(key);
        }
        let Some(attempt) = self.all.get_mut(&key) else { return };
        if !self.trees.thaw(&attempt.tree()) {
            return self.kill_for_lease(key, NOT_THAWED, now);
        }
        attempt.freeze = None;
        self.wake_at(key, None);
        self.change(key);
        self.watch_memory(key, now);
    }

    /// Takes a renewal. If it makes a lease stand again, frozen attempts are reported again: a
    /// confirmation that a leader sent meanwhile had no effect.
    pub(super) fn renew(&mut self, renewal: Renewal, now: Now) {
        let stood = self.fence.stands(now);
        if !self.fence.renew(renewal, now) || stood || !self.fence.stands(now) {
            return;
        }
        let frozen: Vec<AttemptKey> =
            self.all.iter().filter(|(_, attempt)| TrackedAttempt::is_frozen(attempt)).map(|(key, _)| *key).collect();
        frozen.into_iter().for_each(|key| self.change(key));
    }

    fn kill_for_lease(&mut self, key: AttemptKey, message: &'static str, now: Now) {
        let (reason, fault): (Reason, Fault) = reason::of_kill(KillReason::By(KilledBy::Lease));
        self.stop(key, StopOrder { reason, fault, message, grace: Duration::ZERO }, now);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use muster_agent::runner_protocol::Accepted;
    use muster_types::{AllocatedResources, AttemptNumber, DriverUid, Incarnation};

    use super::*;
    use crate::engine::UserRule;
    use crate::guard::Keeper;
    use crate::journal::Journal;
    use crate::pid_translation::PidTranslation;
    use crate::spawner::{Spawner, SpawnerContext};
    use crate::sys::user::UserLimits;
    use crate::tree::{self, Method, TreeRequest};

    const KEY: AttemptKey = AttemptKey::Driver(DriverUid(1), AttemptNumber(1));

    /// A frozen leased tree on a machine without cgroups, where every thaw fails and ends the
    /// attempt.
    fn frozen(dir: &Path, now: Now) -> AttemptTable {
        let root = dir.to_owned();
        let wanted = TreeRequest { root, name: "w".into(), method: Method::None, limits: false };
        let trees = Arc::new(tree::find(&wanted).unwrap().trees);
        let guard = Keeper::new(trees.brake().unwrap(), Duration::from_secs(600)).unwrap();
        let journal = Journal::create(dir.join("journal"), Incarnation { counter: 1, random: 1 }, &[]).unwrap();
        let outer = Arc::new(PidTranslation::open());
        let context = SpawnerContext {
            trees: Arc::clone(&trees),
            outer,
            dies_with_parent: false,
            limits: UserLimits::of_runner(),
            oom_score: None,
            private_tmp: None,
        };
        let rule = FreezeRule { kill_after: Duration::from_secs(600), agent_thaws: true };
        let mut table =
            AttemptTable::new(journal, trees, Spawner::start(context).unwrap(), guard, rule, UserRule::new(true));
        let resources = AllocatedResources { cores: 1, memory: 1, ..Default::default() };
        let (id, kill_grace) = ("d".to_owned(), Duration::ZERO);
        table.accept(Accepted { attempt: KEY, id, leased: true, resources, kill_grace });
        let until = now.time + Duration::from_secs(600);
        table.all.get_mut(&KEY).unwrap().freeze = Some(FreezeState::Frozen { until });
        table
    }

    fn renewal(now: Now, lease: Duration) -> Renewal {
        Renewal { sent: now.time, sent_wall: now.wall, lease }
    }

    fn has_ended(table: &AttemptTable) -> bool {
        matches!(table.all[&KEY].stage, AttemptStage::Ended(..))
    }

    /// The thaw fails, so what the guard knows afterwards was written before it.
    #[test]
    fn the_guard_is_told_of_a_lease_before_anything_is_thawed_under_it() {
        let dir = tempfile::tempdir().unwrap();
        let now = clock::now();
        let mut table = frozen(dir.path(), now);
        table.thaw(KEY, now);
        assert_eq!(table.guard.written(), None, "no lease stands, so nothing is thawed");
        let renewal = renewal(now, Duration::from_secs(60));
        table.renew(renewal, now);
        table.thaw(KEY, now);
        assert_eq!(table.guard.written().map(|written| (written.term, written.renewal)), Some((1, renewal)));
        assert!(has_ended(&table), "the thaw was tried");
    }

    #[test]
    fn nothing_is_thawed_under_a_lease_that_ended_while_the_guard_was_being_told() {
        let dir = tempfile::tempdir().unwrap();
        let now = clock::now();
        let mut table = frozen(dir.path(), now);
        table.renew(renewal(now, Duration::from_nanos(1)), now);
        // By the clock as it was when the message was read, the lease stands.
        table.thaw(KEY, now);
        assert!(table.guard.written().is_some());
        assert!(!has_ended(&table), "a thaw was tried");
        assert!(!table.fence.holds(&KEY));
    }
}
