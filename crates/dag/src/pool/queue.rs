//! Stages with tasks to launch, found by what an executor can do for them.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::StageSlot;
use crate::locality::LocalityKey;
use crate::{JobId, StageId};

/// The order of a stage in its pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct QueueKey {
    /// Running tasks, in a fair pool; else 0.
    pub(crate) running: u32,
    pub(crate) job: JobId,
    pub(crate) stage: StageId,
    pub(crate) slot: StageSlot,
}

impl QueueKey {
    pub(crate) fn new(job: JobId, stage: StageId) -> QueueKey {
        QueueKey { running: 0, job, stage, slot: StageSlot::default() }
    }

    /// The part that does not change with what runs.
    fn fixed(self) -> QueueKey {
        QueueKey { running: 0, ..self }
    }
}

/// How many stages that prefer one executor are compared to find the one with the fewest running
/// tasks.
const COMPARED: usize = 8;

/// The stages of a pool whose tasks take the same.
#[derive(Debug, Default)]
pub(crate) struct RunQueue {
    /// Stages of which a task may be launched anywhere.
    open: BTreeSet<QueueKey>,
    /// Stages that may launch a task for a preference, by the fixed part of their keys.
    local: BTreeMap<LocalityKey, BTreeSet<QueueKey>>,
    /// Barrier stages, with the number of their tasks, the smallest first.
    barrier: BTreeSet<(u32, QueueKey)>,
    /// Stages that wait at a level of locality.
    pub(crate) delayed: BTreeSet<StageSlot>,
}

impl RunQueue {
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.local.is_empty() && self.barrier.is_empty() && self.delayed.is_empty()
    }

    pub(crate) fn insert_open(&mut self, key: QueueKey) {
        self.open.insert(key);
    }

    /// Returns whether it was there.
    pub(crate) fn remove_open(&mut self, key: QueueKey) -> bool {
        self.open.remove(&key)
    }

    pub(crate) fn insert_local(&mut self, preference: LocalityKey, key: QueueKey) {
        self.local.entry(preference).or_default().insert(key.fixed());
    }

    pub(crate) fn remove_local(&mut self, preference: LocalityKey, key: QueueKey) {
        if let Some(stages) = self.local.get_mut(&preference) {
            stages.remove(&key.fixed());
            if stages.is_empty() {
                self.local.remove(&preference);
            }
        }
    }

    pub(crate) fn insert_barrier(&mut self, tasks: u32, key: QueueKey) {
        self.barrier.insert((tasks, key));
    }

    /// Returns whether it was there.
    pub(crate) fn remove_barrier(&mut self, tasks: u32, key: QueueKey) -> bool {
        self.barrier.remove(&(tasks, key))
    }

    /// Barrier stages that need at most so many places.
    pub(crate) fn barriers(&self, places: u64) -> impl Iterator<Item = StageSlot> + '_ {
        let fit = self.barrier.iter().take_while(move |(tasks, _)| u64::from(*tasks) <= places);
        fit.map(|(_, key)| key.slot)
    }

    pub(crate) fn has_barriers(&self) -> bool {
        !self.barrier.is_empty()
    }

    /// The first stage that may launch a task on an executor that serves these preferences.
    /// `key_of` says the present key of a stage.
    pub(crate) fn first(
        &self,
        preferences: impl Iterator<Item = LocalityKey>,
        skipped: &[StageSlot],
        key_of: impl Fn(StageSlot) -> Option<QueueKey>,
    ) -> Option<QueueKey> {
        let mut best = self.open.iter().find(|key| !skipped.contains(&key.slot)).copied();
        if self.local.is_empty() {
            return best;
        }
        for stages in preferences.filter_map(|preference| self.local.get(&preference)) {
            let present = stages.iter().filter(|key| !skipped.contains(&key.slot)).take(COMPARED);
            for key in present.filter_map(|key| key_of(key.slot)) {
                if best.is_none_or(|best| key < best) {
                    best = Some(key);
                }
            }
        }
        best
    }

    /// Every stage in the queue.
    pub(crate) fn stages(&self) -> BTreeSet<StageSlot> {
        let plain = self.open.iter().chain(self.local.values().flatten());
        let all = plain.chain(self.barrier.iter().map(|(_, key)| key)).map(|key| key.slot);
        all.chain(self.delayed.iter().copied()).collect()
    }

    pub(crate) fn preferring(&self, preference: LocalityKey) -> impl Iterator<Item = StageSlot> + '_ {
        self.local.get(&preference).into_iter().flatten().map(|key| key.slot)
    }
}
