//! Restores of the store to an earlier state while work runs.

use std::collections::BTreeSet;

use muster_core::Request;
use muster_core::invariants::Fold;
use muster_types::{AttemptKey, AttemptState, KilledBy, WorkerCommand};

use crate::Run;

/// How many backups are kept.
const KEPT: usize = 3;

#[derive(Default)]
pub(crate) struct RestoreModel {
    /// Whether the store of this run is ever restored.
    pub(crate) restores: bool,
    /// Earlier states of the store, the oldest first. Every worker is in each, because a leader
    /// cannot wait for a worker that the store does not know.
    pub(crate) saved: Vec<Fold>,
    /// Attempts that executed when the store was restored.
    pub(crate) healthy: BTreeSet<AttemptKey>,
    /// Open attempts that the restored store does not name.
    pub(crate) forgotten: BTreeSet<AttemptKey>,
}

impl Run {
    pub(crate) fn save_or_restore(&mut self) {
        if !self.past.restores {
            return;
        }
        match self.rng.roll(300) {
            0..=5 if self.world.ledger.fold.workers.len() == self.machines.len() => {
                if self.past.saved.len() >= KEPT {
                    self.past.saved.remove(0);
                }
                self.past.saved.push(self.world.ledger.fold.clone());
            }
            6 => self.restore(),
            _ => {}
        }
    }

    fn restore(&mut self) {
        let Some(fold) = self.rng.pick(&self.past.saved).cloned() else { return };
        self.note(format!("restore generation {}", self.world.generation + 1));
        self.world.ledger.fold = fold;
        self.world.generation += 1;
        // This is the copy of another store, so the standby reads it anew.
        self.standby.reset(self.world.config.clone(), self.world.ledger.fold.snapshot());
        let open: Vec<AttemptKey> = self.machines.iter().flat_map(|machine| machine.unfinished()).collect();
        // Frozen attempts are left out, because they may have been closed before.
        self.past.healthy.extend(self.machines.iter().flat_map(|machine| machine.running().collect::<Vec<_>>()));
        for key in open {
            if !self.is_recorded(key) {
                self.past.forgotten.insert(key);
            }
        }
        // A later backup than that of the last restore may name attempts which that one did not.
        let mut forgotten = std::mem::take(&mut self.past.forgotten);
        forgotten.retain(|key| !self.is_recorded(*key));
        self.past.forgotten = forgotten;
        self.crash();
    }

    /// Whether a durable record names an attempt.
    pub(crate) fn is_recorded(&self, key: AttemptKey) -> bool {
        let fold = &self.world.ledger.fold;
        match key {
            AttemptKey::Driver(uid, number) => fold
                .drivers
                .get(&uid)
                .is_some_and(|record| record.attempts.iter().any(|attempt| attempt.number == number)),
            AttemptKey::Executor(uid, id) => fold.executors_of(uid).contains_key(&id),
        }
    }

    /// Checks that attempts that ran at a restore are ended only by the policies of their owner,
    /// and that attempts that the store does not know are ended only by an operator.
    pub(crate) fn check_kills(&self, commands: &[WorkerCommand]) {
        for command in commands {
            let WorkerCommand::Kill { attempt, by, .. } = command else { continue };
            // An attempt that was frozen since may have been closed, and another may have followed
            // it.
            let executes = self.machines.iter().any(|machine| machine.running().any(|key| key == *attempt));
            let healthy = executes && self.past.healthy.contains(attempt);
            let last = &self.trace[self.trace.len().saturating_sub(60)..];
            assert!(!healthy || *by != KilledBy::Fence, "healthy, and killed: {attempt}: {last:#?}");
            let forgotten = self.past.forgotten.contains(attempt);
            assert!(!forgotten || *by == KilledBy::Operator, "killed by {by:?}: {attempt}: {last:#?}");
        }
    }

    /// Whether an attempt may have been over in the time that the restored store does not know: it
    /// never began, its end was acknowledged, or it has ended and its worker has yet to report how.
    pub(crate) fn was_over_before_a_restore(&self, key: AttemptKey) -> bool {
        let ended = |state: &AttemptState| matches!(state, AttemptState::Ended(_));
        let reported = self.machines.iter().any(|m| m.journal.get(&key).is_some_and(|entry| ended(&entry.state)));
        self.world.generation > 1 && (self.acknowledged.contains(&key) || !self.started.contains(&key) || reported)
    }

    /// Ends, as an operator, the attempts that no record names.
    pub(crate) fn end_forgotten(&mut self) {
        let running = |state: &AttemptState| matches!(state, AttemptState::Running | AttemptState::Frozen);
        let all = self.machines.iter().flat_map(|machine| {
            let open = machine.journal.iter().filter(|(_, entry)| running(&entry.state));
            open.map(|(key, _)| (machine.name.clone(), *key)).collect::<Vec<_>>()
        });
        let forgotten: Vec<_> = all.filter(|(_, key)| self.past.forgotten.contains(key)).collect();
        for (worker, attempt) in forgotten {
            self.call_calmly(Request::EndQuarantined { worker, attempt, request: None });
        }
    }
}
