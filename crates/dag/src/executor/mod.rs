//! Executors, as tasks are placed on them.

mod heartbeat;
mod lost;
mod register;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_types::{ExecutorId, ProfileId, Time, WorkerUid};
use slotmap::SlotMap;

use crate::ids::{AttemptSlot, ExecutorSlot, LocationIndex, RackIndex, WorkerIndex};
use crate::locality::LocalityKey;

/// Where an executor stands. It leaves from any state when it is lost, and never comes back.
///
/// ```text
/// Registered ── it is ready ──▶ Ready ── taken out of service ──▶ Decommissioning
///     │                           │                                   │
///     └────── its stream breaks ──┴───────────────────────────────────┴──▶ Disconnected
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExecutorPhase {
    Registered,
    Ready,
    Decommissioning,
    Disconnected,
}

/// An executor.
#[derive(Debug)]
pub(crate) struct ExecutorNode {
    pub(crate) id: ExecutorId,
    pub(crate) worker: WorkerIndex,
    pub(crate) rack: Option<RackIndex>,
    pub(crate) profile: ProfileId,
    pub(crate) cores: u32,
    /// Cores of the attempts that were launched and have not ended. It exceeds `cores` by what was
    /// sent ahead.
    pub(crate) used: u64,
    pub(crate) phase: ExecutorPhase,
    pub(crate) is_kill_requested: bool,
    pub(crate) is_decommissioned: bool,
    /// Until when everything avoids it.
    pub(crate) excluded_until: Option<Time>,
    pub(crate) heard: Time,
    /// Its number among the places of outputs.
    pub(crate) location: LocationIndex,
    /// Its attempts, in no order.
    pub(crate) attempts: Vec<AttemptSlot>,
    /// Its free cores and cores in the index of its profile.
    pub(crate) indexed: (u32, u32),
}

impl ExecutorNode {
    pub(crate) fn free(&self) -> u32 {
        u32::try_from(u64::from(self.cores).saturating_sub(self.used)).unwrap_or(0)
    }

    /// What a task may prefer that this executor serves, the nearest first.
    pub(crate) fn keys(&self) -> impl Iterator<Item = LocalityKey> {
        let near = [LocalityKey::Executor(self.id), LocalityKey::Worker(self.worker)];
        near.into_iter().chain(self.rack.map(LocalityKey::Rack))
    }
}

/// A worker, as far as its executors tell.
#[derive(Debug, Default)]
pub(crate) struct WorkerNode {
    pub(crate) rack: Option<RackIndex>,
    pub(crate) executors: BTreeSet<ExecutorSlot>,
    /// Until when everything avoids it.
    pub(crate) excluded_until: Option<Time>,
}

/// The executors of a profile that may be given tasks.
#[derive(Debug, Default)]
pub(crate) struct ProfileExecutors {
    /// Those with free cores, by how many.
    idle: BTreeSet<(u32, ExecutorSlot)>,
    /// Cores of all.
    pub(crate) cores: u64,
    /// Free cores of all.
    pub(crate) free: u64,
}

impl ProfileExecutors {
    /// Those that have so many cores free, the freest first, so that tasks spread.
    pub(crate) fn idle(&self, cores: u32) -> impl Iterator<Item = ExecutorSlot> + '_ {
        self.idle.iter().rev().take_while(move |(free, _)| *free >= cores).map(|(_, slot)| *slot)
    }

    /// Whether an executor is among those with free cores, by how many.
    pub(crate) fn has(&self, free: u32, slot: ExecutorSlot) -> bool {
        self.idle.contains(&(free, slot))
    }

    pub(crate) fn has_idle(&self, cores: u32) -> bool {
        self.idle.last().is_some_and(|(free, _)| *free >= cores)
    }
}

/// Every executor that is registered.
#[derive(Debug, Default)]
pub(crate) struct ExecutorTable {
    nodes: SlotMap<ExecutorSlot, ExecutorNode>,
    by_id: BTreeMap<ExecutorId, ExecutorSlot>,
    /// Numbers that are never used again.
    ended: BTreeSet<ExecutorId>,
    workers: Vec<WorkerNode>,
    worker_indexes: BTreeMap<WorkerUid, WorkerIndex>,
    rack_executors: Vec<BTreeSet<ExecutorSlot>>,
    rack_indexes: BTreeMap<Arc<str>, RackIndex>,
    profiles: BTreeMap<ProfileId, ProfileExecutors>,
}

impl ExecutorTable {
    pub(crate) fn get(&self, slot: ExecutorSlot) -> Option<&ExecutorNode> {
        self.nodes.get(slot)
    }

    pub(crate) fn get_mut(&mut self, slot: ExecutorSlot) -> Option<&mut ExecutorNode> {
        self.nodes.get_mut(slot)
    }

    pub(crate) fn find(&self, id: ExecutorId) -> Option<ExecutorSlot> {
        self.by_id.get(&id).copied()
    }

    pub(crate) fn is_known(&self, id: ExecutorId) -> bool {
        self.by_id.contains_key(&id) || self.ended.contains(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ExecutorSlot, &ExecutorNode)> {
        self.nodes.iter()
    }

    pub(crate) fn insert(&mut self, node: ExecutorNode) -> ExecutorSlot {
        let (id, worker, rack) = (node.id, node.worker, node.rack);
        let slot = self.nodes.insert(node);
        self.by_id.insert(id, slot);
        self.worker_mut(worker).executors.insert(slot);
        if let Some(executors) = rack.and_then(|rack| self.rack_executors.get_mut(rack.0 as usize)) {
            executors.insert(slot);
        }
        slot
    }

    pub(crate) fn remove(&mut self, id: ExecutorId) -> Option<(ExecutorSlot, ExecutorNode)> {
        let slot = self.by_id.remove(&id)?;
        if let Some(node) = self.nodes.get_mut(slot) {
            node.phase = ExecutorPhase::Disconnected;
        }
        self.reindex(slot);
        let node = self.nodes.remove(slot)?;
        self.ended.insert(id);
        self.worker_mut(node.worker).executors.remove(&slot);
        if let Some(executors) = node.rack.and_then(|rack| self.rack_executors.get_mut(rack.0 as usize)) {
            executors.remove(&slot);
        }
        Some((slot, node))
    }

    /// The number of a worker; a new one if it is not known.
    pub(crate) fn worker_index(&mut self, uid: WorkerUid) -> WorkerIndex {
        let next = WorkerIndex(u32::try_from(self.workers.len()).unwrap_or(u32::MAX));
        let index = *self.worker_indexes.entry(uid).or_insert(next);
        if index == next {
            self.workers.push(WorkerNode::default());
        }
        index
    }

    /// The number of a rack; a new one if it is not known.
    pub(crate) fn rack_index(&mut self, rack: &Arc<str>) -> RackIndex {
        let next = RackIndex(u32::try_from(self.rack_executors.len()).unwrap_or(u32::MAX));
        let index = *self.rack_indexes.entry(rack.clone()).or_insert(next);
        if index == next {
            self.rack_executors.push(BTreeSet::new());
        }
        index
    }

    pub(crate) fn worker(&self, worker: WorkerIndex) -> Option<&WorkerNode> {
        self.workers.get(worker.0 as usize)
    }

    /// The worker of this number, which the table itself has given.
    pub(crate) fn worker_mut(&mut self, worker: WorkerIndex) -> &mut WorkerNode {
        &mut self.workers[worker.0 as usize]
    }

    /// The executors of a worker, by its uid.
    pub(crate) fn on_worker(&self, uid: WorkerUid) -> Vec<ExecutorId> {
        let worker = self.worker_indexes.get(&uid).and_then(|index| self.worker(*index));
        let slots = worker.into_iter().flat_map(|worker| &worker.executors);
        slots.filter_map(|slot| self.get(*slot)).map(|node| node.id).collect()
    }

    pub(crate) fn profile(&self, profile: ProfileId) -> Option<&ProfileExecutors> {
        self.profiles.get(&profile)
    }

    /// Whether an executor may be given tasks.
    pub(crate) fn is_active(&self, node: &ExecutorNode) -> bool {
        node.phase == ExecutorPhase::Ready
            && !node.is_kill_requested
            && node.excluded_until.is_none()
            && self.worker(node.worker).is_some_and(|worker| worker.excluded_until.is_none())
    }

    /// Brings the index of an executor's profile up to date with it.
    pub(crate) fn reindex(&mut self, slot: ExecutorSlot) {
        let Some(node) = self.nodes.get(slot) else { return };
        let active = self.is_active(node);
        let after = if active { (node.free(), node.cores) } else { (0, 0) };
        let (before, profile) = (node.indexed, node.profile);
        if after == before {
            return;
        }
        let index = self.profiles.entry(profile).or_default();
        if before.0 > 0 {
            index.idle.remove(&(before.0, slot));
        }
        if after.0 > 0 {
            index.idle.insert((after.0, slot));
        }
        index.free = index.free + u64::from(after.0) - u64::from(before.0);
        index.cores = index.cores + u64::from(after.1) - u64::from(before.1);
        if let Some(node) = self.nodes.get_mut(slot) {
            node.indexed = after;
        }
    }

    /// The executors that serve a preference.
    pub(crate) fn serving(&self, key: LocalityKey) -> Vec<ExecutorSlot> {
        match key {
            LocalityKey::Executor(id) => self.find(id).into_iter().collect(),
            LocalityKey::Worker(worker) => {
                self.worker(worker).map(|worker| worker.executors.iter().copied().collect()).unwrap_or_default()
            }
            LocalityKey::Rack(rack) => {
                let executors = self.rack_executors.get(rack.0 as usize);
                executors.map(|executors| executors.iter().copied().collect()).unwrap_or_default()
            }
        }
    }

    /// Whether any executor serves a preference.
    pub(crate) fn is_served(&self, key: LocalityKey) -> bool {
        match key {
            LocalityKey::Executor(id) => self.by_id.contains_key(&id),
            LocalityKey::Worker(worker) => self.worker(worker).is_some_and(|worker| !worker.executors.is_empty()),
            LocalityKey::Rack(rack) => {
                self.rack_executors.get(rack.0 as usize).is_some_and(|executors| !executors.is_empty())
            }
        }
    }
}
