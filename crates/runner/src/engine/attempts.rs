//! All attempts: what is known, what waits for the journal, and when each must be looked at.
//!
//! Handling an input changes the table and appends records. What may be done only after they are
//! written (spawning, reaping, reporting) waits in `follow_ups` and `changed` until
//! [`AttemptTable::settle`] has written them. If the write fails, everything waits and is tried
//! again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use muster_agent::fence::Fence;
use muster_agent::journal::{JournalState, Record};
use muster_agent::runner_protocol::{Accepted, Limits, Program};
use muster_types::{AttemptKey, Now, Outcome, Report, Time};

use super::attempt::{AttemptStage, TrackedAttempt};
use super::freeze::FreezeRule;
use super::user_rule::UserRule;
use crate::guard::Keeper;
use crate::journal::Journal;
use crate::private_tmp::PrivateTmp;
use crate::spawner::{SpawnJob, Spawner};
use crate::sys;
use crate::tree::Trees;

/// Most attempts that are known at once; more are refused. A machine has fewer processes.
pub(super) const MAX_ATTEMPTS: usize = 100_000;

/// Time between tries to write the journal while the disk is full.
const JOURNAL_RETRY: Duration = Duration::from_millis(100);

/// What may be done only after the journal is written.
#[derive(Debug)]
pub(super) enum FollowUp {
    /// Start a process.
    Spawn(Box<SpawnJob>),
    /// Reap a main process whose end is now in the journal.
    Reap(i32, OwnedFd),
}

/// All attempts.
#[derive(Debug)]
pub(super) struct AttemptTable {
    pub(super) all: BTreeMap<AttemptKey, TrackedAttempt>,
    /// Main processes that are not reaped, by the pid that the runner sees.
    pub(super) mains: BTreeMap<i32, AttemptKey>,
    pub(super) fence: Fence,
    pub(super) journal: Journal,
    pub(super) follow_ups: Vec<FollowUp>,
    pub(super) trees: Arc<Trees>,
    pub(super) spawner: Spawner,
    pub(super) guard: Keeper,
    /// When the first guard is to be started; `None` before the first renewal.
    pub(super) guard_due: Option<Time>,
    /// Leased starts that wait for the guard.
    pub(super) waiting: BTreeMap<AttemptKey, (Program, Limits)>,
    /// Whether the runner shuts down: nothing is started any more.
    pub(super) is_shutting_down: bool,
    pub(super) freeze_rule: FreezeRule,
    pub(super) user_rule: UserRule,
    /// Where users have directories for temporary files of their own.
    pub(super) private_tmp: Option<Arc<PrivateTmp>>,
    changed: BTreeSet<AttemptKey>,
    queue: VecDeque<Box<SpawnJob>>,
    wakes: BTreeSet<(Time, AttemptKey)>,
    journal_retry: Option<Time>,
}

impl AttemptTable {
    pub(super) fn new(
        journal: Journal,
        trees: Arc<Trees>,
        spawner: Spawner,
        guard: Keeper,
        freeze_rule: FreezeRule,
        user_rule: UserRule,
    ) -> AttemptTable {
        AttemptTable {
            all: BTreeMap::new(),
            mains: BTreeMap::new(),
            fence: Fence::new(),
            journal,
            follow_ups: Vec::new(),
            trees,
            spawner,
            guard,
            guard_due: None,
            waiting: BTreeMap::new(),
            is_shutting_down: false,
            freeze_rule,
            user_rule,
            private_tmp: None,
            changed: BTreeSet::new(),
            queue: VecDeque::new(),
            wakes: BTreeSet::new(),
            journal_retry: None,
        }
    }

    /// Takes over the ends from an earlier runner's journal.
    pub(super) fn restore(&mut self, ended: BTreeMap<AttemptKey, TrackedAttempt>) {
        self.all = ended;
    }

    /// Remembers an attempt.
    pub(super) fn accept(&mut self, accepted: Accepted) {
        self.journal.append(&Record::Accepted(accepted.clone()));
        let key = accepted.attempt;
        self.all.insert(key, TrackedAttempt::new(accepted, AttemptStage::Accepted, 1));
        self.changed.insert(key);
    }

    /// Marks an attempt, so that its newest state is reported.
    pub(super) fn tell(&mut self, key: AttemptKey) {
        self.changed.insert(key);
    }

    /// Marks an attempt whose state has changed: it is reported under a new sequence.
    pub(super) fn change(&mut self, key: AttemptKey) {
        if let Some(attempt) = self.all.get_mut(&key) {
            attempt.sequence += 1;
            self.changed.insert(key);
        }
    }

    /// Ends an attempt of which nothing is left, or which never ran.
    pub(super) fn end(&mut self, key: AttemptKey, outcome: Outcome, now: Now) {
        self.wake_at(key, None);
        self.fence.release(&key);
        self.waiting.remove(&key);
        let Some(attempt) = self.all.get_mut(&key) else { return };
        attempt.sequence += 1;
        attempt.wait_channel = None;
        self.journal.append(&Record::Ended {
            attempt: key,
            sequence: attempt.sequence,
            outcome: outcome.clone(),
            ended: now.wall,
        });
        match std::mem::replace(&mut attempt.stage, AttemptStage::Ended(outcome, now.wall)) {
            AttemptStage::Running(child) => self.follow_ups.push(FollowUp::Reap(child.pid, child.pidfd)),
            AttemptStage::Queued(cancelled) | AttemptStage::Starting(cancelled) => {
                cancelled.store(true, Ordering::SeqCst)
            }
            AttemptStage::Accepted | AttemptStage::Ending(_) | AttemptStage::Ended(..) => {}
        }
        if let (Some(user), Some(private)) = (attempt.tmp_of.take(), &self.private_tmp) {
            private.release(user, now.time);
        }
        self.changed.insert(key);
    }

    /// Forgets an attempt whose end the master knows.
    pub(super) fn close(&mut self, key: AttemptKey, sequence: u64) {
        let is_closed = self.all.get(&key).is_some_and(|attempt| attempt.has_ended() && attempt.sequence == sequence);
        if is_closed {
            self.all.remove(&key);
            self.changed.remove(&key);
            self.journal.append(&Record::Closed(key));
        }
    }

    /// Sets when an attempt is to be looked at.
    pub(super) fn wake_at(&mut self, key: AttemptKey, time: Option<Time>) {
        let Some(attempt) = self.all.get_mut(&key) else { return };
        if let Some(before) = std::mem::replace(&mut attempt.wake, time) {
            self.wakes.remove(&(before, key));
        }
        if let Some(time) = time {
            self.wakes.insert((time, key));
        }
    }

    /// The attempts that must be looked at now.
    pub(super) fn take_due(&mut self, now: Now) -> Vec<AttemptKey> {
        let mut due = Vec::new();
        while let Some((time, key)) = self.wakes.first().copied().filter(|(time, _)| *time <= now.time) {
            self.wakes.remove(&(time, key));
            if let Some(attempt) = self.all.get_mut(&key) {
                attempt.wake = None;
            }
            due.push(key);
        }
        due
    }

    /// When something must be done without any input.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        let wake = self.wakes.first().map(|(time, _)| *time);
        let first_guard = self.guard_due.filter(|_| !self.guard.was_started());
        let sweep = self.private_tmp.as_ref().and_then(|private| private.next_sweep());
        let looks = [first_guard, self.guard.next_look(), self.spawner.next_look(), sweep];
        [wake, self.fence.next_deadline(), self.journal_retry].into_iter().chain(looks).flatten().min()
    }

    /// Whether a lease may have run out.
    pub(super) fn is_lease_due(&self, now: Now) -> bool {
        self.fence.next_deadline().is_some_and(|end| end <= now.time)
    }

    /// Writes the waiting records, does what waited for them, and returns the reports that are due.
    /// Nothing happens while the journal cannot be written.
    pub(super) fn settle(&mut self, now: Now) -> Vec<Report> {
        if self.journal_retry.is_some_and(|at| now.time < at) {
            return Vec::new();
        }
        let all = &self.all;
        if self.journal.write(|| all.values().flat_map(TrackedAttempt::records).collect()).is_err() {
            self.journal_retry = Some(now.time + JOURNAL_RETRY);
            return Vec::new();
        }
        self.journal_retry = None;
        for follow_up in self.follow_ups.drain(..) {
            match follow_up {
                FollowUp::Spawn(job) => self.queue.push_back(job),
                FollowUp::Reap(pid, _pidfd) => {
                    // It has ended, and nothing else reaps it.
                    let _ = sys::wait::reap(pid);
                    self.mains.remove(&pid);
                }
            }
        }
        self.hand_over();
        self.spawner.mind_hangs(now.time);
        std::mem::take(&mut self.changed)
            .iter()
            .filter_map(|key| self.all.get(key))
            .map(TrackedAttempt::report)
            .collect()
    }

    /// Whether nothing waits for the journal.
    pub(super) fn is_settled(&self) -> bool {
        self.journal_retry.is_none() && self.follow_ups.is_empty()
    }

    fn hand_over(&mut self) {
        while let Some(job) = self.queue.pop_front() {
            if job.cancelled.load(Ordering::SeqCst) {
                continue;
            }
            let (key, cancelled) = (job.attempt, Arc::clone(&job.cancelled));
            if let Err(job) = self.spawner.hand_over(job) {
                self.queue.push_front(job);
                return;
            }
            if let Some(attempt) = self.all.get_mut(&key) {
                attempt.stage = AttemptStage::Starting(cancelled);
            }
        }
    }
}

/// The attempts of an earlier runner that must still be reported: those whose end is in its
/// journal. The others ended with that runner, and how they ended is unknown. They are lost: they
/// are missing from the inventory under the new incarnation, which tells the master so.
pub(super) fn ends_on_record(memory: JournalState, now: Now) -> BTreeMap<AttemptKey, TrackedAttempt> {
    let mut kept = BTreeMap::new();
    for (key, remembered) in memory.into_attempts() {
        let ended = match (remembered.ended, remembered.exited) {
            (Some(ended), _) => ended,
            // The rest of its tree ended with its runner.
            (None, Some(outcome)) => (u64::from(u32::MAX), outcome, now.wall),
            (None, None) => continue,
        };
        let (sequence, outcome, at) = ended;
        let mut attempt = TrackedAttempt::new(remembered.accepted, AttemptStage::Ended(outcome, at), sequence);
        attempt.started = remembered.started;
        kept.insert(key, attempt);
    }
    kept
}
