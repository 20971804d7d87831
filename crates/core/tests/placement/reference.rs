//! A literal version of the rules, without any index, for comparison with placement.

use std::collections::BTreeMap;

use muster_core::placement::*;
use muster_types::{AllocatedResources, ApplicationUid, DriverUid, RequiredContainment, Resources, WorkerUid};

/// Whether the worker is ready, suits the shape and has the amounts free. Written independently of
/// the crate.
pub(crate) fn fits(fleet: &Fleet, worker: WorkerUid, shape: &Shape, amounts: &Resources, policy: &Policy) -> bool {
    let (Some(facts), Some(free)) = (fleet.facts(worker), fleet.free(worker)) else { return false };
    fleet.eligibility(worker) == Some(Eligibility::Ready)
        && free.amounts().holds(amounts)
        && !shape.excluded_hosts.contains(&facts.host)
        && shape.selector.iter().all(|(name, value)| facts.labels.get(name) == Some(value))
        && shape.variables.is_subset(&facts.variables)
        && match policy.require_containment {
            RequiredContainment::Nothing => true,
            RequiredContainment::Tree => facts.tree || !shape.leased,
            RequiredContainment::Users => facts.tree && facts.owner_users,
        }
}

/// Compact placement of drivers: each in order to the first worker by uid.
pub(crate) fn compact_drivers(
    fleet: &mut Fleet,
    waiting: &[(DriverUid, Shape)],
    policy: &Policy,
    placed: u32,
) -> Vec<DriverPlacement> {
    let mut found = Vec::new();
    for (driver, shape) in waiting {
        if policy.max_drivers.is_some_and(|most| placed as usize + found.len() >= most as usize) {
            break;
        }
        let workers: Vec<WorkerUid> = fleet.workers().collect();
        if let Some(worker) = workers.into_iter().find(|worker| fits(fleet, *worker, shape, &shape.resources, policy)) {
            let resources = fleet.take(worker, &shape.resources).expect("it fits");
            found.push(DriverPlacement { driver: *driver, worker, resources });
        }
    }
    found
}

/// The loop of the rules, for every application in order and every profile by number. The rules do
/// not include preferred hosts.
pub(crate) fn executors(
    fleet: &mut Fleet,
    applications: &mut [(ApplicationUid, ApplicationDemand)],
    policy: &Policy,
) -> Vec<ExecutorPlacement> {
    let mut found = Vec::new();
    for (application, demand) in applications {
        for (profile, wanted) in &mut demand.profiles {
            let given = profile_executors(fleet, &wanted.shape, demand.cores_left, wanted, policy);
            wanted.existing += given.len() as u32;
            demand.cores_left -= given.iter().map(|(_, resources)| u64::from(resources.cores)).sum::<u64>();
            found.extend(given.into_iter().map(|(worker, resources)| ExecutorPlacement {
                application: *application,
                profile: *profile,
                worker,
                resources,
            }));
        }
    }
    found
}

fn profile_executors(
    fleet: &mut Fleet,
    shape: &Shape,
    cores_left: u64,
    wanted: &ProfileDemand,
    policy: &Policy,
) -> Vec<(WorkerUid, AllocatedResources)> {
    let step = u64::from(shape.resources.cores.max(1));
    if cores_left < step {
        return Vec::new();
    }
    let one = Resources { cores: step as u32, ..shape.resources.clone() };
    let usable: Vec<WorkerUid> = fleet.workers().filter(|worker| fits(fleet, *worker, shape, &one, policy)).collect();
    let usable = sorted(fleet, usable, policy.selection);
    let (cores, executors) = assign(fleet, &usable, shape, cores_left, wanted, policy.spread_executors);
    let mut given = Vec::new();
    for (position, worker) in usable.into_iter().enumerate() {
        let request = match shape.resources.cores {
            0 => Resources { cores: cores[position] as u32, ..shape.resources.clone() },
            _ => one.clone(),
        };
        for _ in 0..executors[position] {
            given.push((worker, fleet.take(worker, &request).expect("assigned within what is free")));
        }
    }
    given
}

fn sorted(fleet: &Fleet, mut workers: Vec<WorkerUid>, selection: SelectionPolicy) -> Vec<WorkerUid> {
    let free = |worker: &WorkerUid| fleet.free(*worker).expect("known");
    match selection {
        SelectionPolicy::CoresFreeDesc | SelectionPolicy::CoresFreeAsc => workers.sort_by_key(|w| (free(w).cores, *w)),
        SelectionPolicy::MemoryFreeDesc | SelectionPolicy::MemoryFreeAsc => {
            workers.sort_by_key(|w| (free(w).memory, *w))
        }
        SelectionPolicy::WorkerId => workers.sort(),
    }
    if matches!(selection, SelectionPolicy::CoresFreeDesc | SelectionPolicy::MemoryFreeDesc) {
        workers.reverse();
    }
    workers
}

/// The assignment loop: cores and executors per usable worker.
fn assign(
    fleet: &Fleet,
    usable: &[WorkerUid],
    shape: &Shape,
    cores_left: u64,
    wanted: &ProfileDemand,
    spread: bool,
) -> (Vec<u64>, Vec<u64>) {
    let one_per_worker = shape.resources.cores == 0;
    let step = u64::from(shape.resources.cores.max(1));
    let free: Vec<Resources> = usable.iter().map(|worker| fleet.free(*worker).expect("known").amounts()).collect();
    let mut budget = cores_left.min(free.iter().map(|free| u64::from(free.cores)).sum());
    let mut cores = vec![0u64; usable.len()];
    let mut executors = vec![0u64; usable.len()];
    let may = |at: usize, budget: u64, cores: &[u64], executors: &[u64]| {
        let more = budget >= step && u64::from(free[at].cores) - cores[at] >= step;
        if one_per_worker && executors[at] > 0 {
            return more;
        }
        let memory = free[at].memory - executors[at] * shape.resources.memory >= shape.resources.memory;
        let customs = shape.resources.custom.iter().all(|(name, amount)| {
            u64::from(free[at].amount(name)) - executors[at] * u64::from(*amount) >= u64::from(*amount)
        });
        let under = u64::from(wanted.existing) + executors.iter().sum::<u64>() < u64::from(wanted.target);
        more && memory && customs && under
    };
    let mut candidates: Vec<usize> = (0..usable.len()).filter(|at| may(*at, budget, &cores, &executors)).collect();
    while !candidates.is_empty() {
        for at in &candidates {
            while may(*at, budget, &cores, &executors) {
                budget -= step;
                cores[*at] += step;
                executors[*at] = if one_per_worker { 1 } else { executors[*at] + 1 };
                if spread {
                    break;
                }
            }
        }
        candidates.retain(|at| may(*at, budget, &cores, &executors));
    }
    (cores, executors)
}

/// Free amounts and addresses, recomputed from what is in use.
pub(crate) fn free_of(total: &AllocatedResources, alive: &[AllocatedResources]) -> AllocatedResources {
    let cores: u64 = alive.iter().map(|held| u64::from(held.cores)).sum();
    let memory: u64 = alive.iter().map(|held| held.memory).sum();
    let is_taken = |name: &str, address: &str| {
        alive.iter().filter_map(|held| held.addresses.get(name)).flatten().any(|taken| &**taken == address)
    };
    let addresses: BTreeMap<_, _> = total
        .addresses
        .iter()
        .map(|(name, all)| (name.clone(), all.iter().filter(|address| !is_taken(name, address)).cloned().collect()))
        .collect();
    AllocatedResources {
        cores: u64::from(total.cores).saturating_sub(cores) as u32,
        memory: total.memory.saturating_sub(memory),
        addresses,
    }
}
