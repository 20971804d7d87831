//! Short constructors for small clusters.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_core::placement::*;
use muster_types::{AllocatedResources, ApplicationUid, DriverUid, ProfileId, Resources, WorkerUid};

pub(crate) fn worker(n: u128) -> WorkerUid {
    WorkerUid(n)
}

pub(crate) fn driver(n: u128) -> DriverUid {
    DriverUid(n)
}

pub(crate) fn app(n: u128) -> ApplicationUid {
    ApplicationUid(n)
}

pub(crate) fn total(cores: u32, memory: u64, gpus: u32) -> AllocatedResources {
    let mut addresses = BTreeMap::new();
    if gpus > 0 {
        addresses.insert("gpu".into(), (0..gpus).map(|n| n.to_string().into()).collect());
    }
    AllocatedResources { cores, memory, addresses }
}

pub(crate) fn request(cores: u32, memory: u64, gpus: u32) -> Resources {
    let custom = if gpus > 0 { BTreeMap::from([("gpu".into(), gpus)]) } else { BTreeMap::new() };
    Resources { cores, memory, custom }
}

pub(crate) fn facts(name: &str, total: AllocatedResources) -> WorkerFacts {
    WorkerFacts {
        name: name.into(),
        host: format!("{name}.example"),
        labels: BTreeMap::new(),
        variables: Default::default(),
        tree: true,
        owner_users: true,
        total,
    }
}

/// Ready workers 1, 2, … called `w1`, `w2`, … on hosts of their own.
pub(crate) fn fleet_of(totals: impl IntoIterator<Item = AllocatedResources>) -> Fleet {
    let mut fleet = Fleet::new();
    for (index, total) in totals.into_iter().enumerate() {
        let uid = worker(index as u128 + 1);
        fleet.upsert(uid, facts(&format!("w{}", uid.0), total));
        fleet.set_eligibility(uid, Eligibility::Ready);
    }
    fleet
}

/// Ready workers with these cores and more memory than any test uses.
pub(crate) fn fleet_of_cores(cores: &[u32]) -> Fleet {
    fleet_of(cores.iter().map(|cores| total(*cores, 1 << 40, 0)))
}

pub(crate) fn shape(cores: u32, memory: u64, gpus: u32) -> Arc<Shape> {
    Arc::new(Shape::new(request(cores, memory, gpus)))
}

pub(crate) fn compact() -> Policy {
    Policy { spread_drivers: false, spread_executors: false, ..Policy::default() }
}

/// A demand with profile 0 alone, which has no executors yet.
pub(crate) fn demand(cores_left: u64, shape: Arc<Shape>, target: u32) -> ApplicationDemand {
    let profile = ProfileDemand { shape, existing: 0, target, preferred_hosts: BTreeMap::new() };
    ApplicationDemand { cores_left, profiles: BTreeMap::from([(ProfileId(0), profile)]) }
}

/// Queues drivers 1, 2, … of these shapes.
pub(crate) fn queue_of(shapes: impl IntoIterator<Item = Arc<Shape>>) -> DriverQueue {
    let mut queue = DriverQueue::new();
    shapes.into_iter().zip(1..).for_each(|(shape, n)| queue.push(driver(n), shape));
    queue
}

/// (driver, worker) of each placement.
pub(crate) fn pairs(placements: &[DriverPlacement]) -> Vec<(u128, u128)> {
    placements.iter().map(|placement| (placement.driver.0, placement.worker.0)).collect()
}

/// (worker, cores) of each placement.
pub(crate) fn slots(placements: &[ExecutorPlacement]) -> Vec<(u128, u32)> {
    placements.iter().map(|placement| (placement.worker.0, placement.resources.cores)).collect()
}
