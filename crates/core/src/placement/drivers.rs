//! Placement of drivers, in submission order. A driver that does not fit does not block the next.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_types::{AllocatedResources, DriverUid, WorkerUid};

use super::candidates::{Candidates, Remaining};
use super::capacity_index::Amounts;
use super::fleet::amounts;
use super::waiting::WaitQueue;
use super::{Fleet, Policy, Shape};

/// Drivers that wait, in submission order.
#[derive(Debug, Clone, Default)]
pub struct DriverQueue {
    waiting: WaitQueue<DriverQueueKey>,
    drivers: BTreeMap<DriverUid, (i64, Arc<Shape>)>,
    /// All positions in use lie between `front` and `back`.
    front: i64,
    back: i64,
    /// The worker that was given the last driver.
    last: Option<WorkerUid>,
}

/// A driver's place in the queue.
type DriverQueueKey = (i64, DriverUid);

impl DriverQueue {
    /// An empty queue.
    pub fn new() -> DriverQueue {
        DriverQueue::default()
    }

    /// Adds a driver behind all others. A driver that waits already keeps its place and gets the
    /// new shape.
    pub fn push(&mut self, driver: DriverUid, shape: Arc<Shape>) {
        self.back += 1;
        self.insert(driver, shape, self.back);
    }

    /// Adds a driver before all others, because it was placed before and runs again. A driver that
    /// waits already keeps its place and gets the new shape.
    pub fn push_front(&mut self, driver: DriverUid, shape: Arc<Shape>) {
        self.front -= 1;
        self.insert(driver, shape, self.front);
    }

    /// Removes a driver; returns whether it waited.
    pub fn remove(&mut self, driver: DriverUid) -> bool {
        let Some((order, shape)) = self.drivers.remove(&driver) else { return false };
        self.waiting.remove(&shape, (order, driver));
        true
    }

    /// Whether a driver waits.
    pub fn contains(&self, driver: DriverUid) -> bool {
        self.drivers.contains_key(&driver)
    }

    /// The number of waiting drivers.
    pub fn len(&self) -> usize {
        self.drivers.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.drivers.is_empty()
    }

    fn insert(&mut self, driver: DriverUid, shape: Arc<Shape>, order: i64) {
        let order = self.drivers.get(&driver).map_or(order, |(order, _)| *order);
        self.remove(driver);
        self.waiting.insert(&shape, (order, driver));
        self.drivers.insert(driver, (order, shape));
    }
}

/// A driver that was placed; the fleet has taken its resources already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverPlacement {
    /// The driver.
    pub driver: DriverUid,
    /// The worker.
    pub worker: WorkerUid,
    /// The resources that it is given.
    pub resources: AllocatedResources,
}

/// Places the drivers that fit and removes them from the queue. `placed` is the number of drivers
/// that are placed and have not ended.
///
/// Drivers are tried in submission order. With `spread_drivers`, each takes the worker with the
/// most free cores among those that it fits; among equals, the next after the worker that was given
/// the last driver, in this pass or before it. Otherwise each takes the first worker by uid.
///
/// Cost: nothing if no shape is new and no worker has risen. Otherwise each worker with room for
/// the smallest shape is examined once; each placed driver costs one examination, and each shape
/// fails at most once per worker. Sorting a worker anew, after another shape took some of it, is
/// not counted.
pub fn place_drivers(fleet: &mut Fleet, queue: &mut DriverQueue, policy: &Policy, placed: u32) -> Vec<DriverPlacement> {
    let mut left = policy.max_drivers.map_or(usize::MAX, |most| most.saturating_sub(placed) as usize);
    if left == 0 {
        return Vec::new();
    }
    let shapes = queue.waiting.to_try(fleet);
    let workers = gather(fleet, &queue.waiting, &shapes);
    let mut candidates = Candidates::new(fleet, workers, policy.spread_drivers, queue.last);
    let mut turns = shapes_in_order(fleet, &queue.waiting, shapes, &mut candidates);
    let mut found = Vec::new();
    while let Some(((_, driver), (shape, mut remaining))) = turns.pop_first() {
        if left == 0 {
            return found;
        }
        let Some(placement) = place(fleet, &candidates, &mut remaining, (driver, &shape), policy) else {
            queue.waiting.mark_stuck(&shape, fleet);
            continue;
        };
        queue.last = Some(placement.worker);
        found.push(placement);
        queue.remove(driver);
        left -= 1;
        if let Some(turn) = queue.waiting.first(&shape) {
            turns.insert(turn, (shape, remaining));
        }
    }
    queue.waiting.pass_is_whole(fleet);
    found
}

/// The workers that may take one of the shapes.
fn gather(fleet: &mut Fleet, waiting: &WaitQueue<DriverQueueKey>, shapes: &[Arc<Shape>]) -> Vec<WorkerUid> {
    let mut smallest: Option<Amounts> = None;
    let mut risen_since: Option<u64> = None;
    for shape in shapes {
        match waiting.stuck_since(shape) {
            Some(stamp) => risen_since = Some(risen_since.map_or(stamp, |since| since.min(stamp))),
            None => smallest = Some(least_of(smallest, amounts(&shape.resources))),
        }
    }
    let mut examined = 0;
    let mut workers = smallest.map_or_else(Vec::new, |least| fleet.all_ready(least, &mut examined));
    fleet.count_examined(examined);
    if let Some(stamp) = risen_since {
        workers.extend(fleet.risen_after(stamp));
        workers.sort_unstable();
        workers.dedup();
    }
    workers
}

fn least_of(one: Option<Amounts>, other: Amounts) -> Amounts {
    one.map_or(other, |one| Amounts { cores: one.cores.min(other.cores), memory: one.memory.min(other.memory) })
}

/// Each shape by the queue key of its first driver, with the workers that it has to try.
fn shapes_in_order(
    fleet: &Fleet,
    waiting: &WaitQueue<DriverQueueKey>,
    shapes: Vec<Arc<Shape>>,
    candidates: &mut Candidates,
) -> BTreeMap<DriverQueueKey, (Arc<Shape>, Remaining)> {
    let with_turn = shapes.into_iter().filter_map(|shape| waiting.first(&shape).map(|turn| (turn, shape)));
    let mut remaining = |shape: &Arc<Shape>| match waiting.stuck_since(shape) {
        Some(stamp) => candidates.only(fleet.risen_after(stamp)),
        None => candidates.all(),
    };
    with_turn.map(|(turn, shape)| (turn, (Arc::clone(&shape), remaining(&shape)))).collect()
}

fn place(
    fleet: &mut Fleet,
    candidates: &Candidates,
    remaining: &mut Remaining,
    (driver, shape): (DriverUid, &Shape),
    policy: &Policy,
) -> Option<DriverPlacement> {
    while let Some(position) = remaining.take_best(fleet, candidates) {
        fleet.count_examined(1);
        let worker = candidates.worker(position).filter(|worker| fleet.fits(*worker, shape, &shape.resources, policy));
        let given = worker.and_then(|worker| Some((worker, fleet.take(worker, &shape.resources)?)));
        if let Some((worker, resources)) = given {
            remaining.put_back(fleet, candidates, position);
            return Some(DriverPlacement { driver, worker, resources });
        }
    }
    None
}
