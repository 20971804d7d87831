//! The books of one worker.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_types::{AllocatedResources, PendingCause, ResourceName, Resources, WorkerName};

use super::order::Amounts;
use super::{Policy, Shape};

/// What placement needs to know of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerFacts {
    /// Its label, for people.
    pub name: WorkerName,
    /// Reachable name of its machine.
    pub host: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Names of the variables it defines.
    pub variables: BTreeSet<String>,
    /// A kill there ends the whole tree of a process.
    pub tree: bool,
    /// All it has.
    pub total: AllocatedResources,
}

/// Whether a worker may be given work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Eligibility {
    /// It may.
    Ready,
    /// Not heard at present.
    Silent,
    /// Past its deadline.
    Lost,
    /// Has not reported to this leader yet.
    Unconfirmed,
    /// Drains.
    Draining,
}

/// One worker: its facts, and what is taken of it. What is taken may exceed what there is (an inventory says what runs, whether
/// or not it fits): then nothing is free, and giving back pays the excess off first.
#[derive(Debug, Clone)]
pub(super) struct Seat {
    pub(super) facts: WorkerFacts,
    pub(super) eligibility: Eligibility,
    /// The fleet's stamp when capacity or eligibility last rose.
    pub(super) risen: u64,
    used_cores: u64,
    used_memory: u128,
    shelves: BTreeMap<ResourceName, Shelf>,
}

/// The addresses of one custom resource.
#[derive(Debug, Clone, Default)]
struct Shelf {
    /// The worker's own, in its order.
    addresses: Vec<Arc<str>>,
    /// How often each is taken, the worker's own or not: two records may name the same one.
    taken: BTreeMap<Arc<str>, u32>,
    /// The worker's own that are not taken.
    free: u32,
}

impl Shelf {
    fn recount(&mut self) {
        let free = self.addresses.iter().filter(|address| !self.taken.contains_key(*address)).count();
        self.free = u32::try_from(free).unwrap_or(u32::MAX);
    }

    fn free_addresses(&self) -> impl Iterator<Item = &Arc<str>> {
        self.addresses.iter().filter(|address| !self.taken.contains_key(*address))
    }
}

impl Seat {
    pub(super) fn new(facts: WorkerFacts, eligibility: Eligibility) -> Seat {
        let mut seat = Seat { facts, eligibility, risen: 0, used_cores: 0, used_memory: 0, shelves: BTreeMap::new() };
        seat.stock();
        seat
    }

    /// Takes over new facts; what is taken stays taken. Whether it may now suit what it did not suit before.
    pub(super) fn renew(&mut self, facts: WorkerFacts) -> bool {
        let old = std::mem::replace(&mut self.facts, facts);
        self.stock();
        let new = &self.facts;
        (&old.host, &old.labels, &old.variables, old.tree) != (&new.host, &new.labels, &new.variables, new.tree)
    }

    fn stock(&mut self) {
        for shelf in self.shelves.values_mut() {
            shelf.addresses.clear();
        }
        for (name, addresses) in &self.facts.total.addresses {
            let shelf = self.shelves.entry(name.clone()).or_default();
            let mut known = BTreeSet::new();
            shelf.addresses = addresses.iter().filter(|address| known.insert(Arc::clone(address))).cloned().collect();
        }
        self.shelves.retain(|_, shelf| !shelf.addresses.is_empty() || !shelf.taken.is_empty());
        for shelf in self.shelves.values_mut() {
            shelf.recount();
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
        self.shelves.get(name).map_or(0, |shelf| shelf.free)
    }

    pub(super) fn free_amounts(&self) -> Amounts {
        Amounts { cores: self.free_cores(), memory: self.free_memory() }
    }

    /// What is free, without addresses.
    pub(super) fn free_resources(&self) -> Resources {
        let custom = self.shelves.iter().map(|(name, shelf)| (name.clone(), shelf.free)).collect();
        Resources { cores: self.free_cores(), memory: self.free_memory(), custom }
    }

    /// What is free, with addresses.
    pub(super) fn free(&self) -> AllocatedResources {
        let addresses = self.shelves.iter().filter(|(_, shelf)| !shelf.addresses.is_empty());
        AllocatedResources {
            cores: self.free_cores(),
            memory: self.free_memory(),
            addresses: addresses
                .map(|(name, shelf)| (name.clone(), shelf.free_addresses().cloned().collect()))
                .collect(),
        }
    }

    /// What is taken, more than there is where that is so.
    pub(super) fn used(&self) -> Resources {
        let taken = self.shelves.iter().filter(|(_, shelf)| !shelf.taken.is_empty());
        Resources {
            cores: u32::try_from(self.used_cores).unwrap_or(u32::MAX),
            memory: u64::try_from(self.used_memory).unwrap_or(u64::MAX),
            custom: taken
                .map(|(name, shelf)| (name.clone(), shelf.taken.values().fold(0u32, |sum, n| sum.saturating_add(*n))))
                .collect(),
        }
    }

    pub(super) fn has_free(&self, request: &Resources) -> bool {
        self.free_cores() >= request.cores
            && self.free_memory() >= request.memory
            && request.custom.iter().all(|(name, amount)| self.free_amount(name) >= *amount)
    }

    /// Whether the whole worker would hold it.
    pub(super) fn holds_when_empty(&self, request: &Resources) -> bool {
        let own = |name: &str| self.shelves.get(name).map_or(0, |shelf| shelf.addresses.len());
        self.facts.total.cores >= request.cores
            && self.facts.total.memory >= request.memory
            && request.custom.iter().all(|(name, amount)| own(name) >= *amount as usize)
    }

    /// Takes amounts, the first free addresses in the worker's order. `None`, and nothing taken, when they are not free.
    pub(super) fn take(&mut self, request: &Resources) -> Option<AllocatedResources> {
        if !self.has_free(request) {
            return None;
        }
        let mut given = AllocatedResources { cores: request.cores, memory: request.memory, addresses: BTreeMap::new() };
        for (name, amount) in request.custom.iter().filter(|(_, amount)| **amount > 0) {
            let shelf = self.shelves.get(name)?;
            let addresses = shelf.free_addresses().take(*amount as usize).cloned().collect();
            given.addresses.insert(name.clone(), addresses);
        }
        self.hold(&given);
        Some(given)
    }

    pub(super) fn hold(&mut self, held: &AllocatedResources) {
        self.used_cores = self.used_cores.saturating_add(u64::from(held.cores));
        self.used_memory = self.used_memory.saturating_add(u128::from(held.memory));
        for (name, addresses) in &held.addresses {
            let shelf = self.shelves.entry(name.clone()).or_default();
            for address in addresses {
                let taken = shelf.taken.entry(address.clone()).or_default();
                *taken = taken.saturating_add(1);
            }
            shelf.recount();
        }
    }

    pub(super) fn give_back(&mut self, held: &AllocatedResources) {
        self.used_cores = self.used_cores.saturating_sub(u64::from(held.cores));
        self.used_memory = self.used_memory.saturating_sub(u128::from(held.memory));
        for (name, addresses) in &held.addresses {
            let Some(shelf) = self.shelves.get_mut(name) else { continue };
            for address in addresses {
                if let Some(taken) = shelf.taken.get_mut(address) {
                    *taken -= 1;
                    if *taken == 0 {
                        shelf.taken.remove(address);
                    }
                }
            }
            shelf.recount();
        }
    }

    /// Whether the worker may be given the shape at all, free amounts aside; else the first reason against.
    pub(super) fn objection(&self, shape: &Shape, policy: &Policy) -> Option<PendingCause> {
        match self.eligibility {
            Eligibility::Ready => self.misfit(shape, policy),
            Eligibility::Silent | Eligibility::Lost => Some(PendingCause::Silent),
            Eligibility::Unconfirmed => Some(PendingCause::Unconfirmed),
            Eligibility::Draining => Some(PendingCause::Draining),
        }
    }

    fn misfit(&self, shape: &Shape, policy: &Policy) -> Option<PendingCause> {
        if shape.excluded_hosts.contains(&self.facts.host) {
            return Some(PendingCause::Excluded);
        }
        self.unsuited(shape, policy)
    }

    /// The first reason that lies in what the worker is.
    pub(super) fn unsuited(&self, shape: &Shape, policy: &Policy) -> Option<PendingCause> {
        if shape.selector.iter().any(|(name, value)| self.facts.labels.get(name) != Some(value)) {
            return Some(PendingCause::Labels);
        }
        if let Some(missing) = shape.variables.iter().find(|name| !self.facts.variables.contains(*name)) {
            return Some(PendingCause::Variable(missing.clone()));
        }
        (shape.leased && policy.require_containment && !self.facts.tree).then_some(PendingCause::Containment)
    }

    /// Whether one of the shape could be placed here now; `amounts` is what that takes.
    pub(super) fn fits(&self, shape: &Shape, amounts: &Resources, policy: &Policy) -> bool {
        self.has_free(amounts) && self.objection(shape, policy).is_none()
    }
}
