//! Resources: those that a worker offers, that a process requests, and that it was given.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The name of a custom resource, such as `gpu`.
pub type ResourceName = Arc<str>;

/// Amounts of resources. Custom resources are added and compared by name; an absent name is 0.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resources {
    /// Whole cores.
    pub cores: u32,
    /// Bytes.
    pub memory: u64,
    /// Counts of addresses.
    pub custom: BTreeMap<ResourceName, u32>,
}

impl Resources {
    /// Cores and memory alone.
    pub fn new(cores: u32, memory: u64) -> Resources {
        Resources { cores, memory, custom: BTreeMap::new() }
    }

    /// Whether `request` fits into this.
    pub fn holds(&self, request: &Resources) -> bool {
        self.cores >= request.cores
            && self.memory >= request.memory
            && request.custom.iter().all(|(name, amount)| self.amount(name) >= *amount)
    }

    /// Amount of one custom resource.
    pub fn amount(&self, name: &str) -> u32 {
        self.custom.get(name).copied().unwrap_or(0)
    }

    /// Adds, saturating.
    pub fn add(&mut self, other: &Resources) {
        self.cores = self.cores.saturating_add(other.cores);
        self.memory = self.memory.saturating_add(other.memory);
        for (name, amount) in &other.custom {
            let sum = self.custom.entry(name.clone()).or_default();
            *sum = sum.saturating_add(*amount);
        }
    }
}

/// Amounts with the concrete addresses of the custom ones: a worker's total, or what an attempt was
/// given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AllocatedResources {
    /// Whole cores.
    pub cores: u32,
    /// Bytes.
    pub memory: u64,
    /// Addresses by resource, in the worker's order.
    pub addresses: BTreeMap<ResourceName, Vec<Arc<str>>>,
}

impl AllocatedResources {
    /// The amounts alone.
    pub fn amounts(&self) -> Resources {
        Resources {
            cores: self.cores,
            memory: self.memory,
            custom: self
                .addresses
                .iter()
                .map(|(name, list)| (name.clone(), u32::try_from(list.len()).unwrap_or(u32::MAX)))
                .collect(),
        }
    }
}
