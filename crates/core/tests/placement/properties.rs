//! Random histories, compared with a literal version of the rules.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_core::placement::*;
use muster_types::{AllocatedResources, ApplicationUid, DriverUid, ProfileId, RequiredContainment, WorkerUid};
use proptest::prelude::*;

use crate::reference;
use crate::support::*;

const WORKERS: u128 = 6;
const APPS: u128 = 4;

/// One event in a cluster. A number that chooses among existing items is taken modulo their count.
#[derive(Debug, Clone)]
enum Step {
    Facts(u128, WorkerFacts),
    Eligibility(u128, Eligibility),
    Remove(u128),
    Hold(u128, AllocatedResources),
    GiveBack(usize),
    Driver(Shape),
    DriverFirst(Shape),
    Kill(usize),
    Demand(u128, ApplicationDemand),
    Gone(u128),
    Pass,
}

fn an_eligibility() -> impl Strategy<Value = Eligibility> {
    prop_oneof![
        6 => Just(Eligibility::Ready),
        1 => Just(Eligibility::Disconnected),
        1 => Just(Eligibility::Lost),
        1 => Just(Eligibility::Draining),
    ]
}

prop_compose! {
    fn some_facts()(
        n in 1..=WORKERS, cores in 0u32..9, memory in 0u64..17, gpus in 0u32..4, host in 0u8..4,
        zone in any::<bool>(), java in any::<bool>(), tree in any::<bool>(),
    ) -> (u128, WorkerFacts) {
        let mut facts = facts(&format!("w{n}"), total(cores, memory, gpus));
        facts.host = format!("h{host}");
        facts.labels = zone.then(|| ("zone".to_owned(), "b".to_owned())).into_iter().collect();
        facts.variables = java.then(|| "JAVA".to_owned()).into_iter().collect();
        facts.tree = tree;
        (n, facts)
    }
}

prop_compose! {
    fn a_shape()(
        cores in 0u32..5, memory in 0u64..7, gpus in prop_oneof![4 => Just(0u32), 1 => 1u32..3],
        zone in prop::bool::weighted(0.2), java in prop::bool::weighted(0.2), leased in prop::bool::weighted(0.3),
        excluded in prop::option::weighted(0.2, 0u8..4),
    ) -> Shape {
        Shape {
            selector: zone.then(|| ("zone".to_owned(), "b".to_owned())).into_iter().collect(),
            variables: java.then(|| "JAVA".to_owned()).into_iter().collect(),
            excluded_hosts: excluded.map(|host| format!("h{host}")).into_iter().collect(),
            leased,
            ..Shape::new(request(cores, memory, gpus))
        }
    }
}

prop_compose! {
    fn a_demand()(
        cores_left in prop_oneof![Just(u64::MAX), 0u64..20],
        profiles in prop::collection::btree_map(
            (0u32..3).prop_map(ProfileId),
            (a_shape(), 0u32..4, prop_oneof![0u32..6, Just(u32::MAX)]),
            0..3,
        ),
    ) -> ApplicationDemand {
        let profile = |(shape, existing, target): (Shape, u32, u32)| ProfileDemand {
            shape: Arc::new(shape), existing, target, preferred_hosts: BTreeMap::new(),
        };
        ApplicationDemand { cores_left, profiles: profiles.into_iter().map(|(id, wanted)| (id, profile(wanted))).collect() }
    }
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => some_facts().prop_map(|(n, facts)| Step::Facts(n, facts)),
        3 => (1..=WORKERS, an_eligibility()).prop_map(|(n, eligibility)| Step::Eligibility(n, eligibility)),
        1 => (1..=WORKERS).prop_map(Step::Remove),
        1 => (1..=WORKERS, 0u32..5, 0u64..9, 0u32..3).prop_map(|(n, c, m, g)| Step::Hold(n, total(c, m, g))),
        6 => any::<usize>().prop_map(Step::GiveBack),
        4 => a_shape().prop_map(Step::Driver),
        1 => a_shape().prop_map(Step::DriverFirst),
        1 => any::<usize>().prop_map(Step::Kill),
        4 => (0..APPS, a_demand()).prop_map(|(n, demand)| Step::Demand(n, demand)),
        1 => (0..APPS).prop_map(Step::Gone),
        6 => Just(Step::Pass),
    ]
}

prop_compose! {
    fn a_policy()(
        spread_drivers in any::<bool>(), spread_executors in any::<bool>(),
        selection in prop::sample::select(SelectionPolicy::ALL.to_vec()),
        max_drivers in prop::option::weighted(0.3, 0u32..4), require_containment in prop::sample::select(vec![
            RequiredContainment::Nothing, RequiredContainment::Tree, RequiredContainment::Users,
        ]),
    ) -> Policy {
        Policy { spread_drivers, spread_executors, selection, max_drivers, default_cores: None, require_containment }
    }
}

/// The cluster as placement knows it, and as the test counts it.
struct World {
    policy: Policy,
    fleet: Fleet,
    drivers: DriverQueue,
    executors: ExecutorQueue,
    /// The facts of workers, and what is in use on each.
    workers: BTreeMap<WorkerUid, (WorkerFacts, Vec<AllocatedResources>)>,
    waiting: Vec<(DriverUid, Shape)>,
    applications: Vec<(ApplicationUid, ApplicationDemand)>,
    next: u128,
}

impl World {
    fn new(policy: Policy) -> World {
        let mut world = World {
            policy,
            fleet: Fleet::new(),
            drivers: DriverQueue::new(),
            executors: ExecutorQueue::new(),
            workers: BTreeMap::new(),
            waiting: Vec::new(),
            applications: Vec::new(),
            next: 0,
        };
        for n in 1..=WORKERS / 2 {
            world.step(Step::Facts(n, facts(&format!("w{n}"), total(8, 16, 2))));
            world.step(Step::Eligibility(n, Eligibility::Ready));
        }
        world
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Facts(n, facts) => {
                self.fleet.upsert(worker(n), facts.clone());
                let alive = self.workers.remove(&worker(n)).map_or_else(Vec::new, |(_, alive)| alive);
                self.workers.insert(worker(n), (facts, alive));
            }
            Step::Eligibility(n, eligibility) => self.fleet.set_eligibility(worker(n), eligibility),
            Step::Remove(n) => {
                self.fleet.remove(worker(n));
                self.workers.remove(&worker(n));
            }
            Step::Hold(n, held) => {
                self.fleet.hold(worker(n), &held);
                self.workers.entry(worker(n)).and_modify(|(_, alive)| alive.push(held));
            }
            Step::GiveBack(chosen) => self.give_back(chosen),
            Step::Driver(shape) => {
                self.next += 1;
                self.drivers.push(driver(self.next), Arc::new(shape.clone()));
                self.waiting.push((driver(self.next), shape));
            }
            Step::DriverFirst(shape) => {
                self.next += 1;
                self.drivers.push_front(driver(self.next), Arc::new(shape.clone()));
                self.waiting.insert(0, (driver(self.next), shape));
            }
            Step::Kill(chosen) => {
                if let Some(index) = chosen.checked_rem(self.waiting.len()) {
                    assert!(self.drivers.remove(self.waiting.remove(index).0));
                }
            }
            Step::Demand(n, demand) => {
                self.executors.set(app(n), demand.clone());
                match self.applications.iter_mut().find(|(uid, _)| *uid == app(n)) {
                    Some((_, known)) => *known = demand,
                    None => self.applications.push((app(n), demand)),
                }
            }
            Step::Gone(n) => {
                self.executors.remove(app(n));
                self.applications.retain(|(uid, _)| *uid != app(n));
            }
            Step::Pass => self.pass(),
        }
        self.check_books();
    }

    fn give_back(&mut self, chosen: usize) {
        let alive: Vec<(WorkerUid, usize)> =
            self.workers.iter().flat_map(|(uid, (_, alive))| (0..alive.len()).map(|at| (*uid, at))).collect();
        let Some(index) = chosen.checked_rem(alive.len()) else { return };
        let (uid, at) = alive[index];
        let held = self.workers.get_mut(&uid).expect("alive on it").1.remove(at);
        self.fleet.give_back(uid, &held);
    }

    fn pass(&mut self) {
        self.pass_drivers();
        let mut fleet = self.fleet.clone();
        let wanted = reference::executors(&mut fleet, &mut self.applications, &self.policy);
        let found = place_executors(&mut self.fleet, &mut self.executors, &self.policy);
        assert_eq!(found, wanted);
        for (uid, demand) in &self.applications {
            assert_eq!(self.executors.get(*uid), Some(demand));
        }
        found.into_iter().for_each(|placement| self.start(placement.worker, placement.resources));
    }

    fn pass_drivers(&mut self) {
        let placed = (self.next % 3) as u32;
        let mut fleet = self.fleet.clone();
        let found = place_drivers(&mut self.fleet, &mut self.drivers, &self.policy, placed);
        if self.policy.spread_drivers {
            replay_spread(&mut fleet, &self.waiting, &found, &self.policy, placed);
        } else {
            assert_eq!(found, reference::compact_drivers(&mut fleet, &self.waiting, &self.policy, placed));
        }
        let gone: BTreeSet<DriverUid> = found.iter().map(|placement| placement.driver).collect();
        self.waiting.retain(|(driver, _)| !gone.contains(driver));
        assert_eq!(self.drivers.len(), self.waiting.len());
        found.into_iter().for_each(|placement| self.start(placement.worker, placement.resources));
    }

    /// Checks that what placement gives was free, address by address.
    fn start(&mut self, uid: WorkerUid, given: AllocatedResources) {
        let (facts, alive) = self.workers.get_mut(&uid).expect("a known worker");
        let free = reference::free_of(&facts.total, alive);
        assert!(free.amounts().holds(&given.amounts()), "{given:?} of {free:?}");
        for (name, addresses) in &given.addresses {
            assert!(free.addresses[name].starts_with(addresses), "{addresses:?} of {:?}", free.addresses[name]);
        }
        alive.push(given);
    }

    fn check_books(&self) {
        for (uid, (facts, alive)) in &self.workers {
            assert_eq!(self.fleet.free(*uid), Some(reference::free_of(&facts.total, alive)));
        }
    }
}

/// Checks each driver in submission order: a placed one fitted on its worker, and one that was not
/// placed fitted nowhere, unless the limit was reached.
fn replay_spread(
    fleet: &mut Fleet,
    waiting: &[(DriverUid, Shape)],
    found: &[DriverPlacement],
    policy: &Policy,
    placed: u32,
) {
    let mut left = found.iter().peekable();
    for (driver, shape) in waiting {
        let done = found.len() - left.len();
        if policy.max_drivers.is_some_and(|most| placed as usize + done >= most as usize) {
            break;
        }
        if let Some(placement) = left.next_if(|placement| placement.driver == *driver) {
            assert!(reference::fits(fleet, placement.worker, shape, &shape.resources, policy));
            let best = fleet.workers().filter(|uid| reference::fits(fleet, *uid, shape, &shape.resources, policy));
            let best = best.map(|uid| fleet.free(uid).expect("known").cores).max();
            let cores = fleet.free(placement.worker).expect("known").cores;
            assert_eq!(Some(cores), best, "the worker with the most free cores");
            assert_eq!(fleet.take(placement.worker, &shape.resources).as_ref(), Some(&placement.resources));
        } else {
            let somewhere = fleet.workers().find(|uid| reference::fits(fleet, *uid, shape, &shape.resources, policy));
            assert_eq!(somewhere, None, "{driver:?} of {shape:?} was passed over");
        }
    }
    assert_eq!(left.next(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_history_ends_where_the_rules_say(policy in a_policy(), steps in prop::collection::vec(a_step(), 0..60)) {
        let mut world = World::new(policy);
        steps.into_iter().for_each(|step| world.step(step));
        world.step(Step::Pass);
    }

    #[test]
    fn equal_drivers_on_equal_workers_are_spread_evenly(workers in 1usize..8, drivers in 0usize..40) {
        let mut fleet = fleet_of_cores(&vec![40; workers]);
        let mut queue = queue_of(vec![shape(1, 1, 0); drivers]);
        let found = place_drivers(&mut fleet, &mut queue, &Policy::default(), 0);
        let count = |n: u128| found.iter().filter(|placement| placement.worker == worker(n)).count();
        let counts: Vec<usize> = (1..=workers as u128).map(count).collect();
        let (least, most) = (counts.iter().min(), counts.iter().max());
        prop_assert!(least.zip(most).is_some_and(|(least, most)| most - least <= 1), "{:?}", counts);
        prop_assert_eq!(counts.iter().sum::<usize>(), drivers);
    }

    #[test]
    fn what_is_explained_agrees_with_what_is_placed(
        policy in a_policy(), wanted in a_shape(), steps in prop::collection::vec(a_step(), 0..30),
    ) {
        let mut world = World::new(policy);
        steps.into_iter().for_each(|step| world.step(step));
        let (fleet, policy) = (&world.fleet, &world.policy);
        let reason = explain(fleet, &wanted, policy);
        let mut least = wanted.resources.clone();
        least.cores = least.cores.max(1);
        let fitting = fleet.workers().filter(|uid| reference::fits(fleet, *uid, &wanted, &least, policy)).count();
        let counted: u32 = reason.causes.iter().map(|(_, workers, _)| *workers).sum();
        prop_assert_eq!(fits_now(fleet, &wanted, policy), fitting > 0);
        prop_assert_eq!(counted as usize + fitting, fleet.workers().count());
        prop_assert!(fitting == 0 || !reason.never_fits);
        prop_assert_eq!(reason.nearest.is_some(), counted > 0);
    }
}
