//! All workers, the free resources of each, and which of them rose recently.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_types::{AllocatedResources, Resources, WorkerUid};

use super::capacity_index::{Amounts, CapacityIndex, Direction, IndexKey};
use super::worker_capacity::{Eligibility, WorkerCapacity, WorkerFacts};
use super::{Policy, SelectionPolicy, Shape};

/// The most owners without a user that are noted for one worker: more than have work at a time.
const MOST_REFUSED_OWNERS: usize = 1024;

/// All workers with their free resources. A worker *rises* when it may take more than before.
/// Methods do nothing or return `None` for a worker that is not known.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    pub(super) workers_by_uid: BTreeMap<WorkerUid, WorkerCapacity>,
    hosts: BTreeMap<String, BTreeSet<WorkerUid>>,
    orders: CapacityIndexes,
    /// Raised whenever a worker rises.
    pub(super) stamp: u64,
    /// Workers by the stamp of their last rise; each worker occurs at most once.
    freed_since: BTreeMap<u64, WorkerUid>,
    examined: u64,
    /// Workers on which launches fail: they only get work that has room nowhere else.
    failing: BTreeSet<WorkerUid>,
}

/// The ready workers in every order that a policy may ask for.
#[derive(Debug, Clone, Default)]
struct CapacityIndexes {
    by_uid: CapacityIndex,
    by_cores: CapacityIndex,
    by_memory: CapacityIndex,
}

impl CapacityIndexes {
    fn insert(&mut self, worker: WorkerUid, free: Amounts) {
        self.by_uid.insert((0, worker), free);
        self.by_cores.insert((u64::from(free.cores), worker), free);
        self.by_memory.insert((free.memory, worker), free);
    }

    fn remove(&mut self, worker: WorkerUid, free: Amounts) {
        self.by_uid.remove((0, worker));
        self.by_cores.remove((u64::from(free.cores), worker));
        self.by_memory.remove((free.memory, worker));
    }

    fn of(&self, selection: SelectionPolicy) -> (&CapacityIndex, Direction) {
        match selection {
            SelectionPolicy::CoresFreeDesc => (&self.by_cores, Direction::Down),
            SelectionPolicy::CoresFreeAsc => (&self.by_cores, Direction::Up),
            SelectionPolicy::MemoryFreeDesc => (&self.by_memory, Direction::Down),
            SelectionPolicy::MemoryFreeAsc => (&self.by_memory, Direction::Up),
            SelectionPolicy::WorkerId => (&self.by_uid, Direction::Up),
        }
    }
}

impl Fleet {
    /// An empty fleet.
    pub fn new() -> Fleet {
        Fleet::default()
    }

    /// Adds a worker, or replaces its facts; resources in use stay in use. A new worker is
    /// `Unconfirmed`.
    pub fn upsert(&mut self, worker: WorkerUid, facts: WorkerFacts) {
        let Some(capacity) = self.workers_by_uid.get(&worker) else {
            self.hosts.entry(facts.host.clone()).or_default().insert(worker);
            self.workers_by_uid.insert(worker, WorkerCapacity::new(facts, Eligibility::Unconfirmed));
            return;
        };
        if capacity.facts == facts {
            return;
        }
        self.leave_host(worker);
        self.hosts.entry(facts.host.clone()).or_default().insert(worker);
        self.change(worker, |capacity| capacity.renew(facts));
    }

    /// Sets whether a worker may be given work.
    pub fn set_eligibility(&mut self, worker: WorkerUid, eligibility: Eligibility) {
        self.change(worker, |capacity| std::mem::replace(&mut capacity.eligibility, eligibility) != eligibility);
    }

    /// Whether a worker may be given work.
    pub fn eligibility(&self, worker: WorkerUid) -> Option<Eligibility> {
        self.workers_by_uid.get(&worker).map(|capacity| capacity.eligibility)
    }

    /// Sets whether launches fail on a worker. Returns whether that is a change.
    pub fn set_failing(&mut self, worker: WorkerUid, failing: bool) -> bool {
        if failing { self.failing.insert(worker) } else { self.failing.remove(&worker) }
    }

    /// Whether launches fail on a worker.
    pub fn is_failing(&self, worker: WorkerUid) -> bool {
        self.failing.contains(&worker)
    }

    /// Notes that a worker has no user left for an owner, whose work it is not given until
    /// [`Fleet::give_users`]. Returns whether there is room to note it.
    pub fn refuse_owner(&mut self, worker: WorkerUid, owner: Option<Arc<str>>) -> bool {
        let Some(capacity) = self.workers_by_uid.get_mut(&worker) else { return false };
        if capacity.without_user.len() >= MOST_REFUSED_OWNERS && !capacity.without_user.contains(&owner) {
            return false;
        }
        capacity.without_user.insert(owner);
        true
    }

    /// A worker may have users again for the owners that it refused.
    pub fn give_users(&mut self, worker: WorkerUid) {
        self.change(worker, |capacity| !std::mem::take(&mut capacity.without_user).is_empty());
    }

    pub(super) fn failing(&self) -> impl Iterator<Item = WorkerUid> + '_ {
        self.failing.iter().copied()
    }

    /// Removes a worker, with its resources in use.
    pub fn remove(&mut self, worker: WorkerUid) {
        self.failing.remove(&worker);
        self.leave_host(worker);
        if let Some(capacity) = self.workers_by_uid.remove(&worker) {
            self.freed_since.remove(&capacity.freed_since);
            if capacity.eligibility == Eligibility::Ready {
                self.orders.remove(worker, capacity.free_amounts());
            }
        }
    }

    /// Takes amounts from a worker, whatever its eligibility, with the first free addresses in the
    /// worker's order. Takes nothing and returns `None` if they are not free.
    pub fn take(&mut self, worker: WorkerUid, request: &Resources) -> Option<AllocatedResources> {
        self.take_many(worker, request, 1).pop()
    }

    /// Takes the same amounts up to `count` times, as often as they are free.
    pub(super) fn take_many(&mut self, worker: WorkerUid, request: &Resources, count: u64) -> Vec<AllocatedResources> {
        let mut given = Vec::new();
        self.change(worker, |capacity| {
            given.extend((0..count).map_while(|_| capacity.take(request)));
            false
        });
        given
    }

    /// Counts resources as used by an attempt that a record or an inventory names. Use may exceed
    /// the total: then nothing is free, and what is given back first reduces the excess.
    pub fn hold(&mut self, worker: WorkerUid, held: &AllocatedResources) {
        self.change(worker, |capacity| {
            capacity.hold(held);
            false
        });
    }

    /// Gives back exactly what was taken or held.
    pub fn give_back(&mut self, worker: WorkerUid, held: &AllocatedResources) {
        self.change(worker, |capacity| {
            capacity.give_back(held);
            false
        });
    }

    /// The number of free cores; 0 if the worker is not known.
    pub(super) fn free_cores(&self, worker: WorkerUid) -> u32 {
        self.workers_by_uid.get(&worker).map_or(0, WorkerCapacity::free_cores)
    }

    /// The free resources, with addresses.
    pub fn free(&self, worker: WorkerUid) -> Option<AllocatedResources> {
        self.workers_by_uid.get(&worker).map(WorkerCapacity::free)
    }

    /// The resources in use. They exceed the total where a worker runs more than it has.
    pub fn used(&self, worker: WorkerUid) -> Option<Resources> {
        self.workers_by_uid.get(&worker).map(WorkerCapacity::used)
    }

    /// The facts of a worker.
    pub fn facts(&self, worker: WorkerUid) -> Option<&WorkerFacts> {
        self.workers_by_uid.get(&worker).map(|capacity| &capacity.facts)
    }

    /// Workers by uid.
    pub fn workers(&self) -> impl Iterator<Item = WorkerUid> + '_ {
        self.workers_by_uid.keys().copied()
    }

    /// How often placement has examined a worker, or a block of full ones: the cost of passes, for
    /// tests and metrics.
    pub fn examined(&self) -> u64 {
        self.examined
    }

    pub(super) fn count_examined(&mut self, examined: u64) {
        self.examined = self.examined.saturating_add(examined);
    }

    /// Workers that rose after a stamp, the oldest rise first.
    pub(super) fn risen_after(&self, stamp: u64) -> impl Iterator<Item = WorkerUid> + '_ {
        self.freed_since.range(stamp.saturating_add(1)..).map(|(_, worker)| *worker)
    }

    /// The next ready worker with the amounts free, beyond a place in the order of the policy.
    /// Skips full ones.
    pub(super) fn next_ready(
        &self,
        selection: SelectionPolicy,
        after: Option<IndexKey>,
        least: Amounts,
        examined: &mut u64,
    ) -> Option<IndexKey> {
        let (order, direction) = self.orders.of(selection);
        order.next(direction, after, least, examined)
    }

    /// Every ready worker with the amounts free, by uid. Skips full ones.
    pub(super) fn all_ready(&self, least: Amounts, examined: &mut u64) -> Vec<WorkerUid> {
        self.orders.by_uid.all(least, examined)
    }

    /// Sorts workers by the policy, with those on which launches fail behind all others.
    pub(super) fn sort(&self, selection: SelectionPolicy, workers: &mut [WorkerUid]) {
        let workers_by_uid = &self.workers_by_uid;
        let cores = |worker: &WorkerUid| (workers_by_uid.get(worker).map_or(0, WorkerCapacity::free_cores), *worker);
        let memory = |worker: &WorkerUid| (workers_by_uid.get(worker).map_or(0, WorkerCapacity::free_memory), *worker);
        match selection {
            SelectionPolicy::CoresFreeDesc => workers.sort_by_key(|worker| std::cmp::Reverse(cores(worker))),
            SelectionPolicy::CoresFreeAsc => workers.sort_by_key(cores),
            SelectionPolicy::MemoryFreeDesc => workers.sort_by_key(|worker| std::cmp::Reverse(memory(worker))),
            SelectionPolicy::MemoryFreeAsc => workers.sort_by_key(memory),
            SelectionPolicy::WorkerId => workers.sort(),
        }
        workers.sort_by_key(|worker| self.is_failing(*worker));
    }

    /// The workers on a host.
    pub(super) fn on_host(&self, host: &str) -> impl Iterator<Item = WorkerUid> + '_ {
        self.hosts.get(host).into_iter().flatten().copied()
    }

    /// Whether the worker could take the shape now; `least` is the amount that this needs.
    pub(super) fn fits(&self, worker: WorkerUid, shape: &Shape, least: &Resources, policy: &Policy) -> bool {
        self.workers_by_uid.get(&worker).is_some_and(|capacity| capacity.fits(shape, least, policy))
    }

    fn leave_host(&mut self, worker: WorkerUid) {
        let Some(host) = self.workers_by_uid.get(&worker).map(|capacity| &capacity.facts.host) else { return };
        if let Some(workers) = self.hosts.get_mut(host) {
            workers.remove(&worker);
            if workers.is_empty() {
                self.hosts.remove(&host.clone());
            }
        }
    }

    /// Changes a worker, and marks it as risen if it is ready and has more free than before, or if
    /// `change` returns that it may now suit shapes that it did not suit before.
    fn change(&mut self, worker: WorkerUid, change: impl FnOnce(&mut WorkerCapacity) -> bool) {
        let Some(capacity) = self.workers_by_uid.get_mut(&worker) else { return };
        let (was_ready, before) = (capacity.eligibility == Eligibility::Ready, capacity.free_resources());
        let suits_more = change(capacity);
        let (is_ready, after) = (capacity.eligibility == Eligibility::Ready, capacity.free_resources());
        if is_ready && (suits_more || !before.holds(&after)) {
            self.freed_since.remove(&capacity.freed_since);
            self.stamp += 1;
            capacity.freed_since = self.stamp;
            self.freed_since.insert(self.stamp, worker);
        }
        let (before, after) = (was_ready.then(|| amounts(&before)), is_ready.then(|| amounts(&after)));
        if before != after {
            before.into_iter().for_each(|free| self.orders.remove(worker, free));
            after.into_iter().for_each(|free| self.orders.insert(worker, free));
        }
    }
}

pub(super) fn amounts(resources: &Resources) -> Amounts {
    Amounts { cores: resources.cores, memory: resources.memory }
}
