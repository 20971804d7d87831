//! Placement of executors: for each application in registration order, for each of its profiles.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_types::{AllocatedResources, ApplicationUid, ProfileId, Resources, WorkerUid};

use super::capacity_index::IndexKey;
use super::fleet::amounts;
use super::waiting::WaitQueue;
use super::{Fleet, Policy, Shape, share};

/// The wanted and existing executors of an application.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ApplicationDemand {
    /// Cores that it may still be granted, all profiles together: see [`Policy::cores_left`].
    pub cores_left: u64,
    /// Its profiles.
    pub profiles: BTreeMap<ProfileId, ProfileDemand>,
}

/// The wanted and existing executors of one profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileDemand {
    /// The requirements of one executor.
    pub shape: Arc<Shape>,
    /// Executors that count towards the target: placed, not ended, not draining.
    pub existing: u32,
    /// Executors wanted.
    pub target: u32,
    /// How many more are preferred on these hosts. These are placed first, the others on any host.
    pub preferred_hosts: BTreeMap<String, u32>,
}

impl ApplicationDemand {
    /// Whether the profile may be given an executor if there is room for one.
    fn is_hungry(&self, profile: ProfileId) -> bool {
        self.profiles.get(&profile).is_some_and(|wanted| {
            wanted.existing < wanted.target && self.cores_left >= u64::from(wanted.shape.least().cores)
        })
    }
}

/// Applications in registration order, with their demand.
#[derive(Debug, Clone, Default)]
pub struct ExecutorQueue {
    order: BTreeMap<ApplicationUid, u64>,
    applications: BTreeMap<u64, (ApplicationUid, ApplicationDemand)>,
    waiting: WaitQueue<ProfileQueueKey>,
    next: u64,
}

/// A profile's place in the queue.
type ProfileQueueKey = (u64, ProfileId);

impl ExecutorQueue {
    /// An empty queue.
    pub fn new() -> ExecutorQueue {
        ExecutorQueue::default()
    }

    /// Sets what an application wants and has. Called at registration, which gives the application
    /// its place behind all others, and whenever a target, an exclusion, a preference, its granted
    /// cores or the number of its executors changed. The queue itself counts what
    /// [`place_executors`] grants; setting it again does no harm. An application that gets nothing
    /// for now (its session is broken, or it backs off) keeps its place with an empty demand.
    pub fn set(&mut self, application: ApplicationUid, demand: ApplicationDemand) {
        let order = *self.order.entry(application).or_insert_with(|| {
            self.next += 1;
            self.next
        });
        if self.applications.get(&order).is_some_and(|(_, known)| *known == demand) {
            return;
        }
        self.leave(order);
        for (profile, wanted) in &demand.profiles {
            if demand.is_hungry(*profile) {
                self.waiting.insert(&wanted.shape, (order, *profile));
            }
        }
        self.applications.insert(order, (application, demand));
    }

    /// Removes an application.
    pub fn remove(&mut self, application: ApplicationUid) {
        if let Some(order) = self.order.remove(&application) {
            self.leave(order);
            self.applications.remove(&order);
        }
    }

    /// The demand of an application, as the queue knows it.
    pub fn get(&self, application: ApplicationUid) -> Option<&ApplicationDemand> {
        self.order.get(&application).and_then(|order| self.applications.get(order)).map(|(_, demand)| demand)
    }

    fn leave(&mut self, order: u64) {
        let Some((_, demand)) = self.applications.get(&order) else { return };
        for (profile, wanted) in &demand.profiles {
            self.waiting.remove(&wanted.shape, (order, *profile));
        }
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
    /// The resources that it is given.
    pub resources: AllocatedResources,
}

/// Places the executors that fit, and counts them in the queue. They are returned in the order in
/// which they are numbered: by application, profile, and worker in the order of the selection
/// policy, those on preferred hosts first. Workers on which launches fail are used only if no other
/// has room.
///
/// Each profile gets what the loop of the reference system would give it. The workers that can hold
/// one executor, in the order of the selection policy, get one step in turn (spread) or as many as
/// they hold (compact), within the application's remaining cores and the target of the profile. A
/// step is one executor, or one core where the profile names no cores; in that case each worker
/// gets at most one executor per pass, with all the cores of its steps.
///
/// Cost: nothing if no demand is new and no worker has risen. Otherwise each profile that may be
/// given something examines the workers that it takes, and those with enough cores and memory that
/// fail it for other reasons.
pub fn place_executors(fleet: &mut Fleet, queue: &mut ExecutorQueue, policy: &Policy) -> Vec<ExecutorPlacement> {
    let shapes = queue.waiting.to_try(fleet);
    let turn = |shape: Arc<Shape>| queue.waiting.first(&shape).map(|turn| (turn, shape));
    let mut turns: BTreeMap<ProfileQueueKey, Arc<Shape>> = shapes.into_iter().filter_map(turn).collect();
    let mut found = Vec::new();
    while let Some(((order, profile), shape)) = turns.pop_first() {
        if let Some((application, demand)) = queue.applications.get_mut(&order) {
            if demand.is_hungry(profile) {
                let only_risen = queue.waiting.stuck_since(&shape);
                let given = Assignment { fleet, policy, shape: &shape, only_risen }.run(profile, demand);
                let named =
                    |(worker, resources)| ExecutorPlacement { application: *application, profile, worker, resources };
                found.extend(given.into_iter().map(named));
            }
            if demand.is_hungry(profile) {
                queue.waiting.mark_stuck(&shape, fleet);
                continue;
            }
        }
        queue.waiting.remove(&shape, (order, profile));
        if let Some(turn) = queue.waiting.first(&shape) {
            turns.insert(turn, shape);
        }
    }
    queue.waiting.pass_is_whole(fleet);
    found
}

/// The placement of one profile within a pass.
struct Assignment<'a> {
    fleet: &'a mut Fleet,
    policy: &'a Policy,
    shape: &'a Shape,
    /// If set, only workers that rose after this stamp may fit.
    only_risen: Option<u64>,
}

/// Workers with the resources taken from them, in order.
type Given = Vec<(WorkerUid, AllocatedResources)>;

impl Assignment<'_> {
    fn run(&mut self, profile: ProfileId, demand: &mut ApplicationDemand) -> Given {
        let cores_left = demand.cores_left;
        let Some(wanted) = demand.profiles.get_mut(&profile) else { return Vec::new() };
        let missing = u64::from(wanted.target.saturating_sub(wanted.existing));
        let given = match self.shape.resources.cores {
            0 => self.whole_workers(cores_left, missing, &mut wanted.preferred_hosts),
            cores => self.executors(missing.min(cores_left / u64::from(cores)), &mut wanted.preferred_hosts),
        };
        let count = u32::try_from(given.len()).unwrap_or(u32::MAX);
        wanted.existing = wanted.existing.saturating_add(count);
        let cores: u64 = given.iter().map(|(_, resources)| u64::from(resources.cores)).sum();
        demand.cores_left = demand.cores_left.saturating_sub(cores);
        given
    }

    /// Executors of a fixed size: up to `budget`, first on preferred hosts.
    fn executors(&mut self, mut budget: u64, preferred: &mut BTreeMap<String, u32>) -> Given {
        let mut given = Vec::new();
        for (host, wished) in preferred.iter_mut() {
            let workers = self.on_host(host);
            let got = self.fill(&workers, budget.min(u64::from(*wished)));
            budget -= got.len() as u64;
            *wished -= u32::try_from(got.len()).unwrap_or(*wished).min(*wished);
            given.extend(got);
        }
        preferred.retain(|_, wished| *wished > 0);
        let workers = self.collect(budget, &BTreeSet::new());
        given.extend(self.fill(&workers, budget));
        given
    }

    fn fill(&mut self, workers: &[WorkerUid], budget: u64) -> Given {
        let rooms: Vec<u64> = workers.iter().map(|worker| self.room(*worker)).collect();
        let least = self.shape.least();
        let mut given = Vec::new();
        for (worker, steps) in workers.iter().zip(self.share(&rooms, budget)) {
            let taken = self.fleet.take_many(*worker, &least, steps);
            given.extend(taken.into_iter().map(|resources| (*worker, resources)));
        }
        given
    }

    /// One executor on each of at most `missing` workers; the workers share the cores of the
    /// budget.
    fn whole_workers(&mut self, budget: u64, missing: u64, preferred: &mut BTreeMap<String, u32>) -> Given {
        let most = missing.min(budget);
        let mut workers = Vec::new();
        for (host, wished) in preferred.iter_mut() {
            let left = most.saturating_sub(workers.len() as u64).min(u64::from(*wished));
            let on_host = self.on_host(host);
            let chosen = on_host.into_iter().take(usize::try_from(left).unwrap_or(usize::MAX));
            let before = workers.len();
            workers.extend(chosen);
            *wished -= u32::try_from(workers.len() - before).unwrap_or(*wished).min(*wished);
        }
        preferred.retain(|_, wished| *wished > 0);
        let chosen = workers.iter().copied().collect();
        workers.extend(self.collect(most.saturating_sub(workers.len() as u64), &chosen));
        let free = |worker: &WorkerUid| {
            self.fleet.workers_by_uid.get(worker).map_or(0, |capacity| u64::from(capacity.free_cores()))
        };
        let rooms: Vec<u64> = workers.iter().map(free).collect();
        let mut given = Vec::new();
        for (worker, cores) in workers.into_iter().zip(self.share(&rooms, budget)) {
            let Ok(cores) = u32::try_from(cores) else { continue };
            let request = Resources { cores, ..self.shape.resources.clone() };
            let taken = if cores > 0 { self.fleet.take(worker, &request) } else { None };
            given.extend(taken.map(|resources| (worker, resources)));
        }
        given
    }

    fn share(&self, rooms: &[u64], budget: u64) -> Vec<u64> {
        if self.policy.spread_executors { share::spread(rooms, budget) } else { share::compact(rooms, budget) }
    }

    /// How many executors of the fixed size have room on the worker.
    fn room(&self, worker: WorkerUid) -> u64 {
        let Some(capacity) = self.fleet.workers_by_uid.get(&worker) else { return 0 };
        let least = self.shape.least();
        let times = |free: u64, each: u64| free.checked_div(each).unwrap_or(u64::MAX);
        let customs =
            least.custom.iter().map(|(name, each)| times(u64::from(capacity.free_amount(name)), u64::from(*each)));
        let cores = times(u64::from(capacity.free_cores()), u64::from(least.cores));
        customs.fold(cores.min(times(capacity.free_memory(), least.memory)), u64::min)
    }

    /// The first `most` workers that hold one executor, in the order of the policy. The budget
    /// gives each of them at least one step, so more workers are not needed.
    fn collect(&mut self, most: u64, except: &BTreeSet<WorkerUid>) -> Vec<WorkerUid> {
        match self.only_risen {
            Some(stamp) => {
                let freed: Vec<WorkerUid> = self.fleet.risen_after(stamp).collect();
                let mut workers = self.fitting(freed);
                workers.retain(|worker| !except.contains(worker));
                workers.truncate(usize::try_from(most).unwrap_or(usize::MAX));
                workers
            }
            None => self.walk(most, except),
        }
    }

    fn walk(&mut self, most: u64, except: &BTreeSet<WorkerUid>) -> Vec<WorkerUid> {
        let least = self.shape.least();
        let (mut workers, mut after, mut examined) = (Vec::new(), None::<IndexKey>, 0);
        while (workers.len() as u64) < most {
            let next = self.fleet.next_ready(self.policy.selection, after, amounts(&least), &mut examined);
            let Some(place) = next else { break };
            after = Some(place);
            let passed_over = self.fleet.is_failing(place.1) || except.contains(&place.1);
            if !passed_over && self.fleet.fits(place.1, self.shape, &least, self.policy) {
                workers.push(place.1);
            }
        }
        self.fleet.count_examined(examined);
        if (workers.len() as u64) < most {
            let failing = self.fleet.failing().filter(|worker| !except.contains(worker)).collect();
            workers.extend(self.fitting(failing));
            workers.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        }
        workers
    }

    fn on_host(&mut self, host: &str) -> Vec<WorkerUid> {
        let workers = self.fleet.on_host(host).collect();
        self.fitting(workers)
    }

    /// Those of the workers that hold one executor, in the order of the policy.
    fn fitting(&mut self, mut workers: Vec<WorkerUid>) -> Vec<WorkerUid> {
        self.fleet.count_examined(workers.len() as u64);
        let least = self.shape.least();
        workers.retain(|worker| self.fleet.fits(*worker, self.shape, &least, self.policy));
        self.fleet.sort(self.policy.selection, &mut workers);
        workers
    }
}
