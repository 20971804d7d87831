//! Executors: for each application in registration order, for each of its profiles.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_types::{AllocatedResources, ApplicationUid, ProfileId, Resources, WorkerUid};

use super::{Fleet, Policy, Shape};

/// What an application wants and has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ApplicationDemand {
    /// Cores that it may still be granted, all profiles together: see [`Policy::cores_left`].
    pub cores_left: u64,
    /// Its profiles.
    pub profiles: BTreeMap<ProfileId, ProfileDemand>,
}

/// What an application wants of one profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileDemand {
    /// What one executor needs of a worker.
    pub shape: Arc<Shape>,
    /// Executors that count towards the target: placed, not ended, not draining.
    pub existing: u32,
    /// Executors wanted.
    pub target: u32,
    /// How many more are wished for on these hosts: they are taken first, the rest goes anywhere.
    pub preferred_hosts: BTreeMap<String, u32>,
}

/// Applications in registration order, with what each still wants.
#[derive(Debug, Clone, Default)]
pub struct ExecutorQueue {
    order: BTreeMap<ApplicationUid, u64>,
    applications: BTreeMap<u64, (ApplicationUid, ApplicationDemand)>,
    next: u64,
}

impl ExecutorQueue {
    /// No applications.
    pub fn new() -> ExecutorQueue {
        ExecutorQueue::default()
    }

    /// Says what an application wants and has: at registration (which gives it its place behind all others), and whenever a
    /// target, an exclusion, a preference, the cores that it holds or the number of its executors changed. What
    /// [`place_executors`] grants is counted by the queue itself; saying it again does no harm. An application that is to be
    /// given nothing for now (its session is away, it backs off) is `remove`d only if it should lose its place; else set an
    /// empty demand.
    pub fn set(&mut self, application: ApplicationUid, demand: ApplicationDemand) {
        let order = *self.order.entry(application).or_insert_with(|| {
            self.next += 1;
            self.next
        });
        self.applications.insert(order, (application, demand));
    }

    /// Forgets an application.
    pub fn remove(&mut self, application: ApplicationUid) {
        if let Some(order) = self.order.remove(&application) {
            self.applications.remove(&order);
        }
    }

    /// What an application wants and has, as far as the queue knows.
    pub fn get(&self, application: ApplicationUid) -> Option<&ApplicationDemand> {
        self.order.get(&application).and_then(|order| self.applications.get(order)).map(|(_, demand)| demand)
    }
}

/// An executor that was placed; the fleet has taken its resources already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutorPlacement {
    /// The application.
    pub application: ApplicationUid,
    /// The profile.
    pub profile: ProfileId,
    /// The worker.
    pub worker: WorkerUid,
    /// What it is given.
    pub resources: AllocatedResources,
}

/// Places what fits, in order, and counts it in the queue.
pub fn place_executors(fleet: &mut Fleet, queue: &mut ExecutorQueue, policy: &Policy) -> Vec<ExecutorPlacement> {
    let mut found = Vec::new();
    for (application, demand) in queue.applications.values_mut() {
        for (profile, wanted) in &mut demand.profiles {
            let workers: Vec<WorkerUid> = fleet.workers().collect();
            for worker in workers {
                let least = wanted.shape.least();
                while wanted.existing < wanted.target
                    && demand.cores_left >= u64::from(least.cores)
                    && fleet.seats[&worker].fits(&wanted.shape, &least, policy)
                {
                    let free = u64::from(fleet.seats[&worker].free_cores()).min(demand.cores_left);
                    let all = u32::try_from(free).unwrap_or(u32::MAX);
                    let cores = if wanted.shape.resources.cores == 0 { all } else { least.cores };
                    let Some(resources) = fleet.take(worker, &Resources { cores, ..least.clone() }) else { break };
                    wanted.existing += 1;
                    demand.cores_left -= u64::from(cores);
                    found.push(ExecutorPlacement { application: *application, profile: *profile, worker, resources });
                }
            }
        }
    }
    found
}
