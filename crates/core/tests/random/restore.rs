//! The store goes back in time while work runs.

use std::collections::BTreeSet;

use muster_core::Request;
use muster_core::invariants::Fold;
use muster_types::{AttemptKey, AttemptState, KilledBy, WorkerCommand};

use crate::Run;

/// Backups that are kept.
const KEPT: usize = 3;

#[derive(Default)]
pub(crate) struct RestoreModel {
    /// Whether the store of this run is ever restored.
    pub(crate) restores: bool,
    /// What the store held at some times, the oldest first. Every worker is in each: one that the
    /// store does not know cannot be waited for.
    pub(crate) saved: Vec<Fold>,
    /// What was not over when the store was restored.
    pub(crate) healthy: BTreeSet<AttemptKey>,
    /// Of that, what the restored store does not name.
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
        // Another store's copy: whoever follows reads it anew.
        self.standby.reset(self.world.config.clone(), self.world.ledger.fold.snapshot());
        let open: Vec<AttemptKey> = self.machines.iter().flat_map(|machine| machine.unfinished()).collect();
        // What stands frozen may have been closed before.
        self.past.healthy.extend(self.machines.iter().flat_map(|machine| machine.running().collect::<Vec<_>>()));
        for key in open {
            if !self.is_recorded(key) {
                self.past.forgotten.insert(key);
            }
        }
        // A later backup than the last one may name again what that one had forgotten.
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

    /// What ran when the store was restored is ended by its owner's policies alone, and what the
    /// store forgot by an operator alone.
    pub(crate) fn check_kills(&self, commands: &[WorkerCommand]) {
        for command in commands {
            let WorkerCommand::Kill { attempt, by, .. } = command else { continue };
            // What has been frozen since may have been closed and followed.
            let executes = self.machines.iter().any(|machine| machine.running().any(|key| key == *attempt));
            let healthy = executes && self.past.healthy.contains(attempt);
            let last = &self.trace[self.trace.len().saturating_sub(60)..];
            assert!(!healthy || *by != KilledBy::Fence, "healthy, and killed: {attempt}: {last:#?}");
            let forgotten = self.past.forgotten.contains(attempt);
            assert!(!forgotten || *by == KilledBy::Operator, "killed by {by:?}: {attempt}: {last:#?}");
        }
    }

    /// An attempt that never began, or whose end was acknowledged, in the time that the store
    /// forgot; or that a later one followed then, so that it was over, though its worker may still
    /// have to say how.
    pub(crate) fn was_over_before_a_restore(&self, key: AttemptKey) -> bool {
        let ended = |state: &AttemptState| matches!(state, AttemptState::Ended(_));
        let reported = self.machines.iter().any(|m| m.journal.get(&key).is_some_and(|entry| ended(&entry.state)));
        self.world.generation > 1 && (self.acknowledged.contains(&key) || !self.started.contains(&key) || reported)
    }

    /// An operator ends what no record names.
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
