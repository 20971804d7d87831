//! The life of an attempt, from start to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use muster_agent::journal::Record;
use muster_agent::runner_protocol::{Kill, Limits, Program, Start};
use muster_types::{AttemptKey, Exit, Fault, Now, Outcome, Reason, Time};
use rustix::process::{Pid, Signal, kill_process_group};

use super::attempt::{AttemptStage, Child, StopRequest};
use super::attempts::{AttemptTable, FollowUp};
use super::reason;
use crate::spawner::{SpawnDone, SpawnJob, Spawned};
use crate::sys;
use crate::tree::Survivors;
use crate::wait_channel;

/// A tree that has not ended this long after a KILL is reported with what it waits for.
const STUCK_AFTER: Duration = Duration::from_secs(2);

/// Time between two looks at a killed tree: it doubles from the first value to the last.
const LOOK_FIRST: Duration = Duration::from_millis(1);
const LOOK_LAST: Duration = Duration::from_millis(250);

/// Time between two looks at a memory limit that does not report when it is hit.
const MEMORY_LOOK: Duration = Duration::from_millis(500);

/// Why leased attempts are refused.
pub(super) const NO_LEASE: &str = "the worker's lease does not stand";

/// Why every attempt is refused.
pub(super) const SHUTTING_DOWN: &str = "the runner is shutting down";

/// How an attempt is to be stopped.
pub(super) struct StopOrder {
    pub(super) reason: Reason,
    pub(super) fault: Fault,
    pub(super) message: &'static str,
    /// Time between TERM and KILL; zero is KILL at once.
    pub(super) grace: Duration,
}

impl AttemptTable {
    /// Starts an attempt that is accepted; a leased one only while the lease stands.
    pub(super) fn start(&mut self, start: Start, now: Now) {
        let Start { accepted, program, limits } = start;
        let key = accepted.attempt;
        if self.is_shutting_down {
            return self.end(key, refused(SHUTTING_DOWN), now);
        }
        if let Some(message) = self.user_rule.refusal(&program) {
            return self.end(key, refused(message), now);
        }
        let Some(attempt) = self.all.get(&key) else { return };
        if attempt.accepted.leased && !self.fence.admit(key, now) {
            return self.end(key, refused(NO_LEASE), now);
        }
        if attempt.accepted.leased && !self.guard.lets_start(&self.fence, now) {
            self.waiting.insert(key, (program, limits));
            return;
        }
        self.queue_start(key, program, limits);
    }

    pub(super) fn queue_start(&mut self, key: AttemptKey, program: Program, limits: Limits) {
        let Some(attempt) = self.all.get_mut(&key) else { return };
        let cancelled = Arc::new(AtomicBool::new(false));
        attempt.stage = AttemptStage::Queued(Arc::clone(&cancelled));
        attempt.has_memory_limit = limits.memory.is_some();
        if let (Some(user), Some(private)) = (&program.credentials, &self.private_tmp) {
            private.acquire(user.uid);
            attempt.tmp_of = Some(user.uid);
        }
        let leased = attempt.accepted.leased;
        let job = SpawnJob { attempt: key, program, limits, leased, cancelled };
        self.follow_ups.push(FollowUp::Spawn(Box::new(job)));
    }

    /// Takes the spawner's result for an attempt.
    pub(super) fn spawned(&mut self, done: SpawnDone, now: Now) {
        let key = done.attempt;
        match done.result {
            Ok(spawned) => self.runs(key, spawned, now),
            Err(failure) => {
                let mut outcome = reason::of_failure(&failure);
                if let Some(stop) = self.all.get(&key).and_then(|attempt| attempt.stop.as_ref()) {
                    outcome = never_started(stop.reason, stop.fault);
                }
                self.finish(key, outcome, now);
            }
        }
    }

    fn runs(&mut self, key: AttemptKey, spawned: Spawned, now: Now) {
        let Spawned { pid, outer_pid, pidfd, started } = spawned;
        self.mains.insert(pid, key);
        let Some(attempt) = self.all.get_mut(&key) else { return };
        attempt.stage = AttemptStage::Running(Child { pid, pidfd });
        attempt.started = Some((outer_pid, started));
        let stop_is_wanted = attempt.stop.is_some();
        self.journal.append(&Record::Started { attempt: key, pid: outer_pid, started });
        if stop_is_wanted {
            // Its end was ordered while it was being started, so it has had no TERM yet.
            terminate(pid);
        }
        self.change(key);
        self.escalate_kill(key, now);
        self.watch_memory(key, now);
    }

    /// Orders the end of an attempt. The first order gives the reason; a later one can only hasten
    /// the end. A frozen tree gets no TERM, and is not thawed for one.
    pub(super) fn stop(&mut self, key: AttemptKey, order: StopOrder, now: Now) {
        let Some(attempt) = self.all.get_mut(&key) else { return };
        let StopOrder { reason, fault, message, grace } = order;
        let grace = if attempt.freeze.take().is_some() { Duration::ZERO } else { grace };
        let kill_at = now.time + grace;
        match &attempt.stage {
            AttemptStage::Accepted | AttemptStage::Queued(_) => {
                return self.end(key, never_started(reason, fault), now);
            }
            AttemptStage::Ending(_) | AttemptStage::Ended(..) => return self.tell(key),
            AttemptStage::Starting(cancelled) => cancelled.store(true, Ordering::SeqCst),
            AttemptStage::Running(_) => {}
        }
        match &mut attempt.stop {
            Some(stop) => stop.kill_at = stop.kill_at.min(kill_at),
            None => {
                attempt.stop = Some(StopRequest { reason, fault, message, kill_at, kills: 0, is_killed: false });
                if let (Some(leader), true) = (attempt.leader(), grace > Duration::ZERO) {
                    terminate(leader);
                }
                self.change(key);
            }
        }
        self.escalate_kill(key, now);
    }

    /// Does what the order to end an attempt demands now.
    fn escalate_kill(&mut self, key: AttemptKey, now: Now) {
        let Some(attempt) = self.all.get_mut(&key) else { return };
        // A process that has not executed yet carries no mark. It may hang on a path.
        let leader = attempt.leader().or_else(|| self.spawner.starting(key));
        if attempt.has_ended() {
            return;
        }
        let tree = attempt.tree();
        let Some(stop) = &mut attempt.stop else { return };
        if now.time < stop.kill_at {
            let kill_at = stop.kill_at;
            return self.wake_at(key, Some(kill_at));
        }
        let (kills, killed_at) = (stop.kills, stop.kill_at);
        stop.kills += 1;
        stop.is_killed |= self.trees.kill(&tree, leader);
        self.schedule_check(key, kills, killed_at, now);
    }

    /// After a KILL: sets when to look again, and reports what the tree waits for if it does not
    /// end.
    fn schedule_check(&mut self, key: AttemptKey, kills: u32, killed_at: Time, now: Now) {
        let pause = LOOK_FIRST.saturating_mul(1 << kills.min(16)).min(LOOK_LAST);
        self.wake_at(key, Some(now.time + pause));
        if now.time.since(killed_at) < STUCK_AFTER {
            return;
        }
        let Some(attempt) = self.all.get_mut(&key) else { return };
        let channel = wait_channel::of(&self.trees.members(&attempt.tree(), attempt.leader()));
        if channel.is_some() && attempt.wait_channel != channel {
            attempt.wait_channel = channel;
            self.change(key);
        }
    }

    /// The main process of an attempt has ended. The rest of its tree is ended too, before the end
    /// is reported.
    pub(super) fn exited(&mut self, pid: i32, now: Now) {
        let Some(key) = self.mains.get(&pid).copied() else { return };
        let exit = match sys::wait::look(pid) {
            Ok(Some(exit)) => exit,
            Ok(None) => return,
            Err(_) => Exit::None,
        };
        let Some(attempt) = self.all.get(&key) else { return };
        if attempt.leader() != Some(pid) {
            return;
        }
        let out_of_memory = attempt.has_memory_limit && self.trees.out_of_memory_kills(&attempt.tree()) > 0;
        let outcome = attempt.outcome(exit, out_of_memory);
        self.finish(key, outcome, now);
    }

    /// The main process is done: the attempt ends once nothing of its tree is left.
    fn finish(&mut self, key: AttemptKey, outcome: Outcome, now: Now) {
        let Some(attempt) = self.all.get_mut(&key) else { return };
        if self.trees.clear(&attempt.tree(), attempt.leader()) == Survivors::Nothing {
            return self.end(key, outcome, now);
        }
        let is_killed = self.trees.kill(&attempt.tree(), attempt.leader());
        self.journal.append(&Record::Exited { attempt: key, outcome: outcome.clone() });
        if let AttemptStage::Running(child) = std::mem::replace(&mut attempt.stage, AttemptStage::Ending(outcome)) {
            self.follow_ups.push(FollowUp::Reap(child.pid, child.pidfd));
        }
        let message = "";
        let stop = StopRequest {
            reason: Reason::Exited,
            fault: Fault::Program,
            message,
            kill_at: now.time,
            kills: 0,
            is_killed,
        };
        attempt.stop = Some(stop);
        self.wake_at(key, Some(now.time + LOOK_FIRST));
    }

    /// Looks at an attempt whose time has come.
    pub(super) fn wake(&mut self, key: AttemptKey, now: Now) {
        let Some(attempt) = self.all.get(&key) else { return };
        match &attempt.stage {
            AttemptStage::Ending(outcome) => {
                let outcome = outcome.clone();
                match self.trees.clear(&attempt.tree(), None) {
                    Survivors::Nothing => self.end(key, outcome, now),
                    Survivors::Something => self.escalate_kill(key, now),
                }
            }
            AttemptStage::Running(child) if attempt.stop.is_some() => {
                // Usually the kernel reports its end, but not if it could not be watched.
                self.exited(child.pid, now);
                self.escalate_kill(key, now);
            }
            AttemptStage::Starting(_) if attempt.stop.is_some() => self.escalate_kill(key, now),
            AttemptStage::Running(_) if attempt.freeze.is_some() => self.check_freeze(key, now),
            AttemptStage::Running(_) => self.watch_memory(key, now),
            AttemptStage::Accepted | AttemptStage::Queued(_) | AttemptStage::Starting(_) | AttemptStage::Ended(..) => {}
        }
    }

    /// Ends the whole tree where the kernel kills only one of its processes for the tree's memory.
    pub(super) fn watch_memory(&mut self, key: AttemptKey, now: Now) {
        let Some(attempt) = self.all.get(&key) else { return };
        if attempt.stop.is_some() || !attempt.has_memory_limit || !self.trees.must_watch_memory() {
            return;
        }
        if self.trees.out_of_memory_kills(&attempt.tree()) == 0 {
            return self.wake_at(key, Some(now.time + MEMORY_LOOK));
        }
        let order =
            StopOrder { reason: Reason::OutOfMemory, fault: Fault::Program, message: "", grace: Duration::ZERO };
        self.stop(key, order, now);
    }

    /// Ends an attempt whose process could not be watched: the kernel would not report its end.
    pub(super) fn stop_unwatched(&mut self, key: AttemptKey, now: Now) {
        let message = "its process could not be watched";
        let order = StopOrder { reason: Reason::SpawnFailed, fault: Fault::Platform, message, grace: Duration::ZERO };
        self.stop(key, order, now);
    }

    /// Takes a kill of a known attempt.
    pub(super) fn kill(&mut self, kill: &Kill, now: Now) {
        let Some(attempt) = self.all.get(&kill.attempt) else { return };
        let grace = if kill.at_once { Duration::ZERO } else { kill.grace.unwrap_or(attempt.accepted.kill_grace) };
        let (reason, fault) = reason::of_kill(kill.reason);
        self.stop(kill.attempt, StopOrder { reason, fault, message: "", grace }, now);
    }

    /// Ends everything, each attempt by its own grace but at most `most`; nothing is started any
    /// more.
    pub(super) fn shut_down(&mut self, most: Duration, now: Now) {
        self.is_shutting_down = true;
        let keys: Vec<AttemptKey> = self.all.keys().copied().collect();
        for key in keys {
            let Some(attempt) = self.all.get(&key).filter(|attempt| !attempt.has_ended()) else { continue };
            let grace = attempt.accepted.kill_grace.min(most);
            let (reason, fault) = (Reason::Killed, Fault::Platform);
            self.stop(key, StopOrder { reason, fault, message: "the runner was shut down", grace }, now);
        }
    }

    /// Whether everything has ended and is in the journal.
    pub(super) fn is_shut_down(&self) -> bool {
        self.is_shutting_down && self.is_settled() && self.all.values().all(super::attempt::TrackedAttempt::has_ended)
    }
}

/// The outcome of a kill that found nothing running. The message gives the cause of the kill, since
/// the reason is that it never ran.
pub(super) fn never_started(reason: Reason, fault: Fault) -> Outcome {
    let message = match reason {
        Reason::LeaseEnded => "its lease ended before it was started",
        Reason::Drained => "its worker drained before it was started",
        _ => "it was ended before it was started",
    };
    Outcome::without_exit(fault, Reason::NeverStarted, message)
}

pub(super) fn refused(message: &str) -> Outcome {
    Outcome::without_exit(Fault::Platform, Reason::Refused, message)
}

/// Sends TERM to the group. The leader is not reaped while it is known as such, so the number still
/// belongs to its group.
fn terminate(leader: i32) {
    if let Some(group) = Pid::from_raw(leader) {
        // It may have ended just now; its end will then be read.
        let _ = kill_process_group(group, Signal::TERM);
    }
}
