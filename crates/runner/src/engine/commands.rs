//! The messages that an agent sends to the runner.

use std::time::Duration;

use muster_agent::runner_protocol::{Accepted, INVENTORY_PART, Kill, ToAgent, ToRunner};
use muster_types::{AllocatedResources, AttemptKey, AttemptState, Fault, Now, Outcome, Reason, Report};

use super::attempt::{AttemptStage, TrackedAttempt};
use super::attempts::{AttemptTable, MAX_ATTEMPTS};
use super::lifecycle::{NO_LEASE, SHUTTING_DOWN, never_started, refused};
use super::reason;

/// An answer to the agent, beside reports. It is built when it is sent, after the journal is
/// written, so that it is never behind the reports.
#[derive(Debug)]
pub(super) enum RunnerReply {
    /// The inventory, with the number of the question.
    Inventory(u64),
    /// A message that is complete.
    Message(ToAgent),
}

impl AttemptTable {
    /// Takes one message of the agent. A hello is handled elsewhere.
    pub(super) fn take(&mut self, message: ToRunner, now: Now) -> Option<RunnerReply> {
        match message {
            ToRunner::Hello(_) => {}
            ToRunner::Renew(renewal) => self.renew(renewal, now),
            ToRunner::Accept(accepted) => return self.take_accept(accepted, now).map(RunnerReply::Message),
            ToRunner::Start(start) => {
                let key = start.accepted.attempt;
                if let Some(refusal) = self.take_accept(start.accepted.clone(), now) {
                    return Some(RunnerReply::Message(refusal));
                }
                if self.is_accepted(&key) {
                    self.start(*start, now);
                }
            }
            ToRunner::Abandon(key, outcome) => {
                if self.is_accepted(&key) {
                    self.end(key, outcome, now);
                } else {
                    self.tell(key);
                }
            }
            ToRunner::Kill(kill) => self.take_kill(&kill, now),
            ToRunner::Thaw(key) => self.thaw(key, now),
            ToRunner::Closed(closed) => self.close(closed.attempt, closed.sequence),
            ToRunner::Inventory(number) => return Some(RunnerReply::Inventory(number)),
            ToRunner::Ping(number) => return Some(RunnerReply::Message(ToAgent::Pong(number))),
            ToRunner::Shutdown(grace) => self.shut_down(grace, now),
        }
        None
    }

    /// Ends the attempts that an earlier agent had accepted and not started: the new agent begins
    /// anew.
    pub(super) fn take_new_agent(&mut self, now: Now) {
        let accepted: Vec<AttemptKey> = self.all.keys().copied().filter(|key| self.is_accepted(key)).collect();
        for key in accepted {
            let message = "its worker was restarted before it was started";
            self.end(key, Outcome::without_exit(Fault::Platform, Reason::NeverStarted, message), now);
        }
    }

    fn is_accepted(&self, key: &AttemptKey) -> bool {
        self.all.get(key).is_some_and(|attempt| matches!(attempt.stage, AttemptStage::Accepted))
    }

    /// Accepts an attempt. Returns the refusal if it cannot be remembered. A leased attempt is
    /// accepted only while the lease stands, and the fence holds it from then on: once that lease
    /// has ended, a leader may have closed the attempt and run it elsewhere, and a later lease,
    /// which the next hello brings, does not permit its start.
    fn take_accept(&mut self, accepted: Accepted, now: Now) -> Option<ToAgent> {
        let key = accepted.attempt;
        if self.all.contains_key(&key) {
            self.tell(key);
        } else if self.all.len() >= MAX_ATTEMPTS {
            return Some(ToAgent::Report(Box::new(too_many(accepted))));
        } else {
            let leased = accepted.leased;
            self.accept(accepted);
            if self.is_shutting_down {
                // Nothing would start it, and the shutdown waits for every open attempt.
                self.end(key, refused(SHUTTING_DOWN), now);
            } else if leased && !self.fence.admit(key, now) {
                self.end(key, refused(NO_LEASE), now);
            }
        }
        None
    }

    /// A kill of an unknown attempt is remembered as an end, so that a later start finds it.
    fn take_kill(&mut self, kill: &Kill, now: Now) {
        let key = kill.attempt;
        if self.all.contains_key(&key) {
            return self.kill(kill, now);
        }
        if self.all.len() >= MAX_ATTEMPTS {
            return;
        }
        self.accept(Accepted {
            attempt: key,
            id: String::new(),
            leased: false,
            resources: AllocatedResources::default(),
            kill_grace: Duration::ZERO,
        });
        let (reason, fault) = reason::of_kill(kill.reason);
        self.end(key, never_started(reason, fault), now);
    }

    /// Everything that is known, in parts.
    pub(super) fn inventory(&self, number: u64) -> Vec<ToAgent> {
        let reports: Vec<Report> = self.all.values().map(TrackedAttempt::report).collect();
        let mut parts: Vec<ToAgent> = reports
            .chunks(INVENTORY_PART)
            .map(|part| ToAgent::Inventory { number, reports: part.to_vec(), last: false })
            .collect();
        match parts.last_mut() {
            Some(ToAgent::Inventory { last, .. }) => *last = true,
            _ => parts.push(ToAgent::Inventory { number, reports: Vec::new(), last: true }),
        }
        parts
    }
}

fn too_many(accepted: Accepted) -> Report {
    let message = format!("the runner knows {MAX_ATTEMPTS} attempts already");
    Report {
        attempt: accepted.attempt,
        sequence: 1,
        state: AttemptState::Ended(Outcome::without_exit(Fault::Platform, Reason::Refused, message)),
        pid: None,
        started: None,
        ended: None,
        resources: accepted.resources,
        id: accepted.id,
    }
}
