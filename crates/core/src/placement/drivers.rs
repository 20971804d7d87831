//! Drivers: in submission order, and one that does not fit does not block the next.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_types::{AllocatedResources, DriverUid, WorkerUid};

use super::{Fleet, Policy, Shape};
use crate::Entropy;

/// Drivers that wait, in submission order.
#[derive(Debug, Clone, Default)]
pub struct DriverQueue {
    waiting: BTreeMap<i64, (DriverUid, Arc<Shape>)>,
    order: BTreeMap<DriverUid, i64>,
}

impl DriverQueue {
    /// Nothing waits.
    pub fn new() -> DriverQueue {
        DriverQueue::default()
    }

    /// Adds a driver behind all others. One that waits already stays where it is, and takes the new shape.
    pub fn push(&mut self, driver: DriverUid, shape: Arc<Shape>) {
        let last = self.waiting.last_key_value().map_or(0, |(order, _)| *order);
        self.insert(driver, shape, last + 1);
    }

    /// Adds a driver before all others: one that was placed before and runs again.
    pub fn push_front(&mut self, driver: DriverUid, shape: Arc<Shape>) {
        let first = self.waiting.first_key_value().map_or(0, |(order, _)| *order);
        self.insert(driver, shape, first - 1);
    }

    /// Takes a driver out; whether it waited.
    pub fn remove(&mut self, driver: DriverUid) -> bool {
        self.order.remove(&driver).is_some_and(|order| self.waiting.remove(&order).is_some())
    }

    /// Whether a driver waits.
    pub fn contains(&self, driver: DriverUid) -> bool {
        self.order.contains_key(&driver)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    fn insert(&mut self, driver: DriverUid, shape: Arc<Shape>, order: i64) {
        let order = *self.order.entry(driver).or_insert(order);
        self.waiting.insert(order, (driver, shape));
    }
}

/// A driver that was placed; the fleet has taken its resources already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverPlacement {
    /// The driver.
    pub driver: DriverUid,
    /// The worker.
    pub worker: WorkerUid,
    /// What it is given.
    pub resources: AllocatedResources,
}

/// Places what fits and takes it out of the queue. `placed` is how many drivers are placed at present and have not ended.
pub fn place_drivers(
    fleet: &mut Fleet,
    queue: &mut DriverQueue,
    policy: &Policy,
    placed: u32,
    entropy: &mut dyn Entropy,
) -> Vec<DriverPlacement> {
    let mut found = Vec::new();
    let _ = entropy;
    let workers: Vec<WorkerUid> = fleet.workers().collect();
    let waiting: Vec<_> = queue.waiting.values().cloned().collect();
    for (driver, shape) in waiting {
        if policy.max_drivers.is_some_and(|most| u64::from(placed) + found.len() as u64 >= u64::from(most)) {
            break;
        }
        let fits = |worker: &&WorkerUid| fleet.seats[*worker].fits(&shape, &shape.resources, policy);
        let Some(worker) = workers.iter().find(fits).copied() else { continue };
        if let Some(resources) = fleet.take(worker, &shape.resources) {
            queue.remove(driver);
            found.push(DriverPlacement { driver, worker, resources });
        }
    }
    found
}
