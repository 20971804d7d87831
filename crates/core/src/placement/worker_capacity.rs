//! The resources of one worker, free and in use.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_types::{AllocatedResources, PendingCause, ResourceName, Resources, WorkerName};

use super::capacity_index::Amounts;
use super::{Policy, Shape};

/// The facts about a worker that placement needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerFacts {
    /// Its name, for people.
    pub name: WorkerName,
    /// Reachable name of its machine.
    pub host: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Names of the variables it defines.
    pub variables: BTreeSet<String>,
    /// Whether a kill there ends a process tree whole.
    pub tree: bool,
    /// Whether no two owners' programs run there as the same user.
    pub owner_users: bool,
    /// All it has.
    pub total: AllocatedResources,
}

/// Whether a worker may be given work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Eligibility {
    /// It may be given work.
    Ready,
    /// Its stream is broken.
    Disconnected,
    /// Past its deadline.
    Lost,
    /// Has not reported to this leader yet.
    Unconfirmed,
    /// Drains.
    Draining,
}

/// One worker: its facts, and its resources in use. Use may exceed the total, since an inventory
/// lists what runs, whether or not it fits: then nothing is free, and what is given back first
/// reduces the excess.
#[derive(Debug, Clone)]
pub(super) struct WorkerCapacity {
    pub(super) facts: WorkerFacts,
    pub(super) eligibility: Eligibility,
    /// Owners for whom it has no user left, and whose work it refuses.
    pub(super) without_user: BTreeSet<Option<Arc<str>>>,
    /// The fleet's stamp when capacity or eligibility last rose.
    pub(super) freed_since: u64,
    used_cores: u64,
    used_memory: u128,
    devices: BTreeMap<ResourceName, DeviceSlots>,
}

/// The addresses of one custom resource.
#[derive(Debug, Clone, Default)]
struct DeviceSlots {
    /// The worker's addresses, in its order.
    addresses: Vec<Arc<str>>,
    /// How often each address is in use. This includes addresses that the worker no longer has, and
    /// two records may name the same one.
    taken: BTreeMap<Arc<str>, u32>,
    /// How many of the worker's addresses are not in use.
    free: u32,
}

impl DeviceSlots {
    fn recount(&mut self) {
        let free = self.addresses.iter().filter(|address| !self.taken.contains_key(*address)).count();
        self.free = u32::try_from(free).unwrap_or(u32::MAX);
    }

    fn free_addresses(&self) -> impl Iterator<Item = &Arc<str>> {
        self.addresses.iter().filter(|address| !self.taken.contains_key(*address))
    }
}

impl WorkerCapacity {
    pub(super) fn new(facts: WorkerFacts, eligibility: Eligibility) -> WorkerCapacity {
        let mut capacity = WorkerCapacity {
            facts,
            eligibility,
            without_user: BTreeSet::new(),
            freed_since: 0,
            used_cores: 0,
            used_memory: 0,
            devices: BTreeMap::new(),
        };
        capacity.reset();
        capacity
    }

    /// Replaces the facts; resources in use stay in use. Returns whether the worker may now suit
    /// shapes that it did not suit before.
    pub(super) fn renew(&mut self, facts: WorkerFacts) -> bool {
        let old = std::mem::replace(&mut self.facts, facts);
        self.reset();
        let suits = |facts: &WorkerFacts| (facts.tree, facts.owner_users);
        let new = &self.facts;
        (&old.host, &old.labels, &old.variables) != (&new.host, &new.labels, &new.variables)
            || suits(&old) != suits(new)
    }

    fn reset(&mut self) {
        for slots in self.devices.values_mut() {
            slots.addresses.clear();
        }
        for (name, addresses) in &self.facts.total.addresses {
            let slots = self.devices.entry(name.clone()).or_default();
            let mut known = BTreeSet::new();
            slots.addresses = addresses.iter().filter(|address| known.insert(Arc::clone(address))).cloned().collect();
        }
        self.devices.retain(|_, slots| !slots.addresses.is_empty() || !slots.taken.is_empty());
        for slots in self.devices.values_mut() {
            slots.recount();
        }
    }

    pub(super) fn free_cores(&self) -> u32 {
        let free = u64::from(self.facts.total.cores).saturating_sub(self.used_cores);
        u32::try_from(free).unwrap_or(u32::MAX)
    }

    pub(super) fn free_memory(&self) -> u64 {
        let free = u128::from(self.facts.total.memory).saturating_sub(self.used_memory);
        u64::try_from(free).unwrap_or(u64::MAX)
    }

    pub(super) fn free_amount(&self, name: &str) -> u32 {
        self.devices.get(name).map_or(0, |slots| slots.free)
    }

    pub(super) fn free_amounts(&self) -> Amounts {
        Amounts { cores: self.free_cores(), memory: self.free_memory() }
    }

    /// The free resources, without addresses.
    pub(super) fn free_resources(&self) -> Resources {
        let custom = self.devices.iter().map(|(name, slots)| (name.clone(), slots.free)).collect();
        Resources { cores: self.free_cores(), memory: self.free_memory(), custom }
    }

    /// The free resources, with addresses.
    pub(super) fn free(&self) -> AllocatedResources {
        let addresses = self.devices.iter().filter(|(_, slots)| !slots.addresses.is_empty());
        AllocatedResources {
            cores: self.free_cores(),
            memory: self.free_memory(),
            addresses: addresses
                .map(|(name, slots)| (name.clone(), slots.free_addresses().cloned().collect()))
                .collect(),
        }
    }

    /// The resources in use, which may exceed the total.
    pub(super) fn used(&self) -> Resources {
        let taken = self.devices.iter().filter(|(_, slots)| !slots.taken.is_empty());
        Resources {
            cores: u32::try_from(self.used_cores).unwrap_or(u32::MAX),
            memory: u64::try_from(self.used_memory).unwrap_or(u64::MAX),
            custom: taken
                .map(|(name, slots)| (name.clone(), slots.taken.values().fold(0u32, |sum, n| sum.saturating_add(*n))))
                .collect(),
        }
    }

    pub(super) fn has_free(&self, request: &Resources) -> bool {
        self.free_cores() >= request.cores
            && self.free_memory() >= request.memory
            && request.custom.iter().all(|(name, amount)| self.free_amount(name) >= *amount)
    }

    /// Whether the request would fit if nothing were in use.
    pub(super) fn holds_when_empty(&self, request: &Resources) -> bool {
        let own = |name: &str| self.devices.get(name).map_or(0, |slots| slots.addresses.len());
        self.facts.total.cores >= request.cores
            && self.facts.total.memory >= request.memory
            && request.custom.iter().all(|(name, amount)| own(name) >= *amount as usize)
    }

    /// Takes amounts, with the first free addresses in the worker's order. Takes nothing and
    /// returns `None` if they are not free.
    pub(super) fn take(&mut self, request: &Resources) -> Option<AllocatedResources> {
        if !self.has_free(request) {
            return None;
        }
        let mut given = AllocatedResources { cores: request.cores, memory: request.memory, addresses: BTreeMap::new() };
        for (name, amount) in request.custom.iter().filter(|(_, amount)| **amount > 0) {
            let slots = self.devices.get(name)?;
            let addresses = slots.free_addresses().take(*amount as usize).cloned().collect();
            given.addresses.insert(name.clone(), addresses);
        }
        self.hold(&given);
        Some(given)
    }

    pub(super) fn hold(&mut self, held: &AllocatedResources) {
        self.used_cores = self.used_cores.saturating_add(u64::from(held.cores));
        self.used_memory = self.used_memory.saturating_add(u128::from(held.memory));
        for (name, addresses) in &held.addresses {
            let slots = self.devices.entry(name.clone()).or_default();
            for address in addresses {
                let taken = slots.taken.entry(address.clone()).or_default();
                *taken = taken.saturating_add(1);
            }
            slots.recount();
        }
    }

    pub(super) fn give_back(&mut self, held: &AllocatedResources) {
        self.used_cores = self.used_cores.saturating_sub(u64::from(held.cores));
        self.used_memory = self.used_memory.saturating_sub(u128::from(held.memory));
        for (name, addresses) in &held.addresses {
            let Some(slots) = self.devices.get_mut(name) else { continue };
            for address in addresses {
                if let Some(taken) = slots.taken.get_mut(address) {
                    *taken -= 1;
                    if *taken == 0 {
                        slots.taken.remove(address);
                    }
                }
            }
            slots.recount();
        }
    }

    /// The first reason why the worker cannot take the shape, free amounts aside.
    pub(super) fn filter_reason(&self, shape: &Shape, policy: &Policy) -> Option<PendingCause> {
        match self.eligibility {
            Eligibility::Ready => self.suitability_reason(shape, policy),
            Eligibility::Disconnected | Eligibility::Lost => Some(PendingCause::Disconnected),
            Eligibility::Unconfirmed => Some(PendingCause::Unconfirmed),
            Eligibility::Draining => Some(PendingCause::Draining),
        }
    }

    fn suitability_reason(&self, shape: &Shape, policy: &Policy) -> Option<PendingCause> {
        if shape.excluded_hosts.contains(&self.facts.host) {
            return Some(PendingCause::Excluded);
        }
        let has_no_user = || self.without_user.contains(&shape.owner).then_some(PendingCause::NoUser);
        self.permanent_reason(shape, policy).or_else(has_no_user)
    }

    /// The first reason that is a property of the worker itself.
    pub(super) fn permanent_reason(&self, shape: &Shape, policy: &Policy) -> Option<PendingCause> {
        if shape.selector.iter().any(|(name, value)| self.facts.labels.get(name) != Some(value)) {
            return Some(PendingCause::Labels);
        }
        if let Some(missing) = shape.variables.iter().find(|name| !self.facts.variables.contains(*name)) {
            return Some(PendingCause::Variable(missing.clone()));
        }
        let required = policy.require_containment;
        let is_met = required.is_met(self.facts.tree, self.facts.owner_users);
        (required.applies(shape.leased) && !is_met).then_some(PendingCause::Containment)
    }

    /// Whether the shape could be placed here now; `amounts` is what this needs.
    pub(super) fn fits(&self, shape: &Shape, amounts: &Resources, policy: &Policy) -> bool {
        self.has_free(amounts) && self.filter_reason(shape, policy).is_none()
    }
}
