//! One attempt, as the main loop knows it.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use muster_agent::journal::Record;
use muster_agent::runner_protocol::Accepted;
use muster_types::{AttemptState, Exit, Fault, Outcome, Reason, Report, Time, WallTime};

use crate::tree::Tree;

/// One attempt.
#[derive(Debug)]
pub(super) struct TrackedAttempt {
    pub(super) accepted: Accepted,
    /// The sequence of its newest report.
    pub(super) sequence: u64,
    pub(super) stage: AttemptStage,
    /// Set once its end was ordered.
    pub(super) stop: Option<StopRequest>,
    /// Set from the end of its lease until it is thawed or its end is ordered.
    pub(super) freeze: Option<FreezeState>,
    /// Its process id for people, and when it started.
    pub(super) started: Option<(u32, WallTime)>,
    /// Whether its memory is limited.
    pub(super) has_memory_limit: bool,
    /// The user whose directories for temporary files it has.
    pub(super) tmp_of: Option<u32>,
    /// What its tree waits for in the kernel, if a KILL does not end it.
    pub(super) wait_channel: Option<String>,
    /// When it is to be looked at again.
    pub(super) wake: Option<Time>,
}

/// The stage of an attempt.
///
/// `Accepted → Queued` by a start; `Queued → Starting` when the spawner takes it; `Starting →
/// Running` when it has executed; `Running → Ending` when its main process has ended and something
/// is left; `→ Ended`, terminal, when nothing is left, or if it never ran.
#[derive(Debug)]
pub(super) enum AttemptStage {
    /// Remembered; nothing is done for it.
    Accepted,
    /// Its start waits for the journal or the spawner, and can be taken back without a trace.
    Queued(Arc<AtomicBool>),
    /// The spawner has it.
    Starting(Arc<AtomicBool>),
    /// Its main process runs.
    Running(Child),
    /// Its main process is gone; the rest of its tree is being ended.
    Ending(Outcome),
    /// Nothing is left.
    Ended(Outcome, WallTime),
}

/// A main process that is not reaped yet.
#[derive(Debug)]
pub(super) struct Child {
    /// In the runner's PID namespace.
    pub(super) pid: i32,
    pub(super) pidfd: OwnedFd,
}

/// An order to end an attempt.
#[derive(Debug, Clone)]
pub(super) struct StopRequest {
    pub(super) reason: Reason,
    pub(super) fault: Fault,
    pub(super) message: &'static str,
    /// When KILL follows TERM; the moment of the order if there is no grace.
    pub(super) kill_at: Time,
    /// How many KILLs were sent.
    pub(super) kills: u32,
    /// Whether the kernel has accepted one of them.
    pub(super) is_killed: bool,
}

/// The state of a running attempt whose lease has ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum FreezeState {
    /// The kernel was asked to freeze it, and is asked again at `unstick`. It is killed if it is
    /// not frozen at `until`.
    Asked { until: Time, unstick: Time },
    /// It executes nothing. It is killed if no leader has confirmed it at `until`.
    Frozen { until: Time },
}

impl TrackedAttempt {
    pub(super) fn new(accepted: Accepted, stage: AttemptStage, sequence: u64) -> TrackedAttempt {
        TrackedAttempt {
            accepted,
            sequence,
            stage,
            stop: None,
            freeze: None,
            started: None,
            has_memory_limit: false,
            tmp_of: None,
            wait_channel: None,
            wake: None,
        }
    }

    pub(super) fn tree(&self) -> Tree {
        Tree { attempt: self.accepted.attempt, leased: self.accepted.leased }
    }

    /// Whether the runner itself has made sure that nothing of it executes until it is thawed. A
    /// process that was killed while it was being started checks, before it executes, whether it is
    /// still wanted.
    pub(super) fn is_stopped(&self) -> bool {
        match &self.stage {
            AttemptStage::Accepted | AttemptStage::Queued(_) => false,
            AttemptStage::Starting(_) | AttemptStage::Running(_) | AttemptStage::Ending(_) => {
                self.is_frozen() || self.stop.as_ref().is_some_and(|stop| stop.is_killed)
            }
            AttemptStage::Ended(..) => true,
        }
    }

    /// The main process's id as the runner sees it.
    pub(super) fn leader(&self) -> Option<i32> {
        match &self.stage {
            AttemptStage::Running(child) => Some(child.pid),
            AttemptStage::Accepted
            | AttemptStage::Queued(_)
            | AttemptStage::Starting(_)
            | AttemptStage::Ending(_)
            | AttemptStage::Ended(..) => None,
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self.stage, AttemptStage::Ended(..))
    }

    /// Whether it executes nothing and its end was not ordered.
    pub(super) fn is_frozen(&self) -> bool {
        let runs = matches!(self.stage, AttemptStage::Running(_)) && self.stop.is_none();
        runs && matches!(self.freeze, Some(FreezeState::Frozen { .. }))
    }

    /// The outcome, given how the main process ended: the first reason to stop it counts.
    pub(super) fn outcome(&self, exit: Exit, out_of_memory: bool) -> Outcome {
        match &self.stop {
            Some(stop) => Outcome {
                exit,
                out_of_memory: stop.reason == Reason::OutOfMemory,
                fault: stop.fault,
                reason: stop.reason,
                message: stop.message.to_owned(),
            },
            None if out_of_memory => {
                Outcome { out_of_memory: true, reason: Reason::OutOfMemory, ..Outcome::exited(exit) }
            }
            None => Outcome::exited(exit),
        }
    }

    pub(super) fn report(&self) -> Report {
        let killing = || AttemptState::Killing { wait_channel: self.wait_channel.clone() };
        let is_stopping = self.stop.is_some();
        let (state, ended) = match &self.stage {
            AttemptStage::Accepted | AttemptStage::Queued(_) | AttemptStage::Starting(_) | AttemptStage::Running(_)
                if is_stopping =>
            {
                (killing(), None)
            }
            AttemptStage::Accepted | AttemptStage::Queued(_) | AttemptStage::Starting(_) => {
                (AttemptState::Accepted, None)
            }
            AttemptStage::Running(_) if self.is_frozen() => (AttemptState::Frozen, None),
            AttemptStage::Running(_) => (AttemptState::Running, None),
            AttemptStage::Ending(_) => (killing(), None),
            AttemptStage::Ended(outcome, ended) => (AttemptState::Ended(outcome.clone()), Some(*ended)),
        };
        Report {
            attempt: self.accepted.attempt,
            sequence: self.sequence,
            state,
            pid: self.leader().and(self.started).map(|(pid, _)| pid),
            started: self.started.map(|(_, started)| started),
            ended,
            resources: self.accepted.resources.clone(),
            id: self.accepted.id.clone(),
        }
    }

    /// Its records for a new journal file.
    pub(super) fn records(&self) -> Vec<Record> {
        let attempt = self.accepted.attempt;
        let mut records = vec![Record::Accepted(self.accepted.clone())];
        if let Some((pid, started)) = self.started {
            records.push(Record::Started { attempt, pid, started });
        }
        match &self.stage {
            AttemptStage::Accepted | AttemptStage::Queued(_) | AttemptStage::Starting(_) | AttemptStage::Running(_) => {
            }
            AttemptStage::Ending(outcome) => records.push(Record::Exited { attempt, outcome: outcome.clone() }),
            AttemptStage::Ended(outcome, ended) => {
                let (sequence, outcome, ended) = (self.sequence, outcome.clone(), *ended);
                records.push(Record::Ended { attempt, sequence, outcome, ended });
            }
        }
        records
    }
}
