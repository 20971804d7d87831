//! What must hold after every step, one small file each. In addition, the rules of
//! `muster_core::invariants` are checked on the store's ledger and on every core at rest.

mod capacity;
mod epochs;
mod events;
mod executing;
mod exits;
mod healthy;
mod policy;
mod submissions;
mod targets;
mod unreachable;
mod written;

use std::collections::{BTreeMap, BTreeSet};

use muster_core::invariants::InvariantViolation;
use muster_types::{
    ApplicationUid, AttemptKey, Commit, DriverUid, Epoch, ExecutorId, Exit, Incarnation, RequestId, WorkerUid, Write,
};

use super::World;
use super::store::Transaction;

/// What only an observer of the whole world knows.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    pub(super) broken: Vec<(&'static str, String)>,
    transactions: u64,
    /// Where each attempt was assigned, of all that were ever written.
    assigned: BTreeMap<AttemptKey, (WorkerUid, Incarnation)>,
    /// Attempts for which a process was started.
    started: BTreeSet<AttemptKey>,
    exits: BTreeMap<AttemptKey, Exit>,
    pub(super) acknowledged: BTreeMap<RequestId, DriverUid>,
    /// The highest epoch under which each worker has registered.
    epochs: BTreeMap<WorkerUid, Epoch>,
    incarnations: BTreeMap<WorkerUid, Incarnation>,
    granted: BTreeSet<(ApplicationUid, ExecutorId)>,
    /// Executors that were on a worker when it was lost. From then on they may be replaced, even if
    /// the worker comes back.
    unreachable: BTreeSet<(ApplicationUid, ExecutorId)>,
    commits: BTreeSet<Commit>,
    forgotten: BTreeSet<WorkerUid>,
}

impl World {
    pub(super) fn violate(&mut self, rule: &'static str, what: impl Into<String>) {
        self.recorder.broken.push((rule, what.into()));
    }

    pub(super) fn violate_all(&mut self, broken: Vec<InvariantViolation>) {
        self.recorder.broken.extend(broken.into_iter().map(|violation| (violation.rule, violation.what)));
    }

    pub(super) fn is_sound(&self) -> bool {
        self.recorder.broken.is_empty()
    }

    /// Checks what must hold after every step.
    pub(super) fn check(&mut self) {
        self.check_executing();
        self.check_capacity();
    }

    /// Called when the store has applied a transaction.
    pub(super) fn witness_commit(&mut self, transaction: &Transaction) {
        self.check_acknowledged();
        for write in transaction.groups.iter().flat_map(|(writes, _)| writes) {
            match write {
                Write::PutDriver(record) => {
                    for attempt in &record.attempts {
                        let key = AttemptKey::Driver(record.uid, attempt.number);
                        self.recorder.assigned.insert(key, (attempt.worker, attempt.incarnation));
                    }
                    self.check_exits(record);
                    self.check_unreachable(record);
                    self.check_policy(record);
                }
                Write::PutExecutors(record) => {
                    for executor in &record.executors {
                        let key = AttemptKey::Executor(record.application, executor.id);
                        self.recorder.assigned.insert(key, (executor.worker, executor.incarnation));
                    }
                    self.check_targets(record);
                }
                Write::PutWorker(record) => {
                    if record.forgotten {
                        self.recorder.forgotten.insert(record.uid);
                    }
                    if record.lost {
                        self.count("loss written");
                        self.witness_unreachable(record.uid);
                    }
                }
                _ => {}
            }
        }
        if transaction.rest.iter().any(|write| matches!(write, Write::PutEvents(_))) {
            self.recorder.commits.insert(transaction.commit);
        }
        self.witness_exits(transaction);
    }

    fn witness_exits(&mut self, transaction: &Transaction) {
        use muster_types::Reason;
        for write in transaction.groups.iter().flat_map(|(writes, _)| writes) {
            let Write::PutDriver(record) = write else { continue };
            let leased = record.spec.on_worker_lost.is_leased();
            match record.attempts.last().and_then(|attempt| attempt.outcome.as_ref()).map(|outcome| outcome.reason) {
                Some(Reason::Lost) => self.count(if leased { "leased attempt lost" } else { "unleased attempt lost" }),
                Some(Reason::NeverStarted | Reason::Refused) => self.count("attempt never started"),
                Some(Reason::LeaseEnded) => self.count("attempt ended by its lease"),
                Some(Reason::Killed) => self.count("attempt killed"),
                Some(_) | None => {}
            }
            if record.state.is_terminal() {
                self.count("driver ended");
            }
            if record.attempts.last().is_some_and(|newest| newest.launch_timed_out) {
                self.count("launch taken back");
            }
            let newest = record.attempts.last().map_or(0, |attempt| attempt.number.0);
            if newest > 1 && record.attempts.last().is_some_and(|attempt| attempt.outcome.is_none()) {
                self.count("attempt after another");
            }
        }
    }
}
