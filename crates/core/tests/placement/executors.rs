//! Placement of executors, compared with the loops of the reference system.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_core::placement::*;
use muster_types::ProfileId;

use crate::support::*;

const ALL: u32 = u32::MAX;

/// The executors that one application gets, as (worker, cores).
fn given(fleet: &mut Fleet, demand: ApplicationDemand, policy: &Policy) -> Vec<(u128, u32)> {
    let mut queue = ExecutorQueue::new();
    queue.set(app(1), demand);
    slots(&place_executors(fleet, &mut queue, policy))
}

fn by_id(spread: bool) -> Policy {
    Policy { spread_executors: spread, selection: SelectionPolicy::WorkerId, ..Policy::default() }
}

/// Three workers of 10 cores: the test cases of the reference system.
#[test]
fn cores_go_in_whole_executors_spread_or_compact() {
    let get = |limit, cores, target, spread| {
        let found = given(&mut fleet_of_cores(&[10; 3]), demand(limit, shape(cores, 1, 0), target), &by_id(spread));
        [1, 2, 3].map(|n| found.iter().filter(|(worker, _)| *worker == n).map(|(_, cores)| cores).sum::<u32>())
    };
    // Without cores in the profile: one executor per worker, which gets one core at a time.
    assert_eq!(get(8, 0, ALL, true), [3, 3, 2]);
    assert_eq!(get(8, 0, ALL, false), [8, 0, 0]);
    assert_eq!(get(16, 0, ALL, true), [6, 5, 5]);
    assert_eq!(get(16, 0, ALL, false), [10, 6, 0]);
    assert_eq!(get(u64::MAX, 0, ALL, true), [10, 10, 10]);
    // With cores in the profile: multiples of them; a remainder stays unused.
    assert_eq!(get(8, 2, ALL, true), [4, 2, 2]);
    assert_eq!(get(8, 2, ALL, false), [8, 0, 0]);
    assert_eq!(get(8, 3, ALL, true), [3, 3, 0]);
    assert_eq!(get(u64::MAX, 3, ALL, true), [9, 9, 9]);
    assert_eq!(get(u64::MAX, 3, ALL, false), [9, 9, 9]);
    assert_eq!(get(2, 3, ALL, true), [0, 0, 0]);
    // Targets.
    assert_eq!(get(u64::MAX, 0, 0, true), [0, 0, 0]);
    assert_eq!(get(u64::MAX, 0, 2, true), [10, 10, 0]);
    assert_eq!(get(16, 0, 2, true), [8, 8, 0]);
    assert_eq!(get(16, 0, 2, false), [10, 6, 0]);
    assert_eq!(get(u64::MAX, 4, 2, true), [4, 4, 0]);
    assert_eq!(get(u64::MAX, 4, 2, false), [8, 0, 0]);
}

#[test]
fn memory_bounds_executors() {
    let mut fleet = fleet_of([total(10, 512, 0)]);
    let found = given(&mut fleet, demand(u64::MAX, shape(2, 128, 0), ALL), &Policy::default());
    assert_eq!(found, [(1, 2); 4]);
    // With one executor per worker, its memory is counted once, however many cores it has.
    let mut fleet = fleet_of([total(10, 512, 0), total(10, 127, 0)]);
    assert_eq!(given(&mut fleet, demand(u64::MAX, shape(0, 128, 0), ALL), &Policy::default()), [(1, 10)]);
}

#[test]
fn addresses_bound_executors_and_none_is_given_twice() {
    let mut fleet = fleet_of([total(10, 512, 3), total(10, 512, 0)]);
    let mut queue = ExecutorQueue::new();
    queue.set(app(1), demand(u64::MAX, shape(2, 1, 1), ALL));
    let found = place_executors(&mut fleet, &mut queue, &Policy::default());
    let addresses: BTreeSet<_> =
        found.iter().flat_map(|placement| placement.resources.addresses["gpu"].clone()).collect();
    assert_eq!((found.len(), addresses.len()), (3, 3));
}

#[test]
fn one_executor_lands_where_each_policy_says() {
    let first = |selection| {
        let mut fleet =
            fleet_of([total(4, 300, 0), total(8, 100, 0), total(8, 100, 0), total(2, 200, 0), total(4, 300, 0)]);
        let policy = Policy { selection, ..Policy::default() };
        given(&mut fleet, demand(1, shape(1, 1, 0), 1), &policy)[0].0
    };
    // Ties are ordered by uid, in descending policies in descending order.
    assert_eq!(first(SelectionPolicy::CoresFreeDesc), 3);
    assert_eq!(first(SelectionPolicy::CoresFreeAsc), 4);
    assert_eq!(first(SelectionPolicy::MemoryFreeDesc), 5);
    assert_eq!(first(SelectionPolicy::MemoryFreeAsc), 2);
    assert_eq!(first(SelectionPolicy::WorkerId), 1);
}

#[test]
fn applications_are_served_in_the_order_of_registration() {
    let mut fleet = fleet_of_cores(&[4, 4]);
    let mut queue = ExecutorQueue::new();
    queue.set(app(2), demand(u64::MAX, shape(0, 1, 0), ALL));
    queue.set(app(1), demand(u64::MAX, shape(0, 1, 0), ALL));
    let found = place_executors(&mut fleet, &mut queue, &Policy::default());
    assert!(found.iter().all(|placement| placement.application == app(2)));
    assert_eq!(found.len(), 2);
    // When the first application ends, the second gets everything.
    queue.remove(app(2));
    found.iter().for_each(|placement| fleet.give_back(placement.worker, &placement.resources));
    let found = place_executors(&mut fleet, &mut queue, &Policy::default());
    assert_eq!(found.iter().map(|placement| placement.application).collect::<Vec<_>>(), [app(1), app(1)]);
}

#[test]
fn a_changed_demand_keeps_its_place() {
    let mut fleet = fleet_of_cores(&[1]);
    let mut queue = ExecutorQueue::new();
    queue.set(app(2), ApplicationDemand::default());
    queue.set(app(1), demand(u64::MAX, shape(1, 1, 0), 1));
    queue.set(app(2), demand(u64::MAX, shape(1, 1, 0), 1));
    assert_eq!(place_executors(&mut fleet, &mut queue, &Policy::default())[0].application, app(2));
}

#[test]
fn profiles_are_served_by_number_within_one_limit_of_cores() {
    let mut fleet = fleet_of_cores(&[10]);
    let profile = |cores, existing, target| ProfileDemand {
        shape: shape(cores, 1, 0),
        existing,
        target,
        preferred_hosts: BTreeMap::new(),
    };
    let profiles = BTreeMap::from([
        (ProfileId(0), profile(2, 1, 3)),
        (ProfileId(1), profile(4, 0, 9)),
        (ProfileId(2), profile(1, 0, 9)),
    ]);
    let mut queue = ExecutorQueue::new();
    queue.set(app(1), ApplicationDemand { cores_left: 9, profiles });
    let found = place_executors(&mut fleet, &mut queue, &Policy::default());
    let shown: Vec<_> = found.iter().map(|placement| (placement.profile.0, placement.resources.cores)).collect();
    assert_eq!(shown, [(0, 2), (0, 2), (1, 4), (2, 1)]);
    let left = queue.get(app(1)).expect("registered");
    assert_eq!((left.cores_left, left.profiles[&ProfileId(0)].existing), (0, 3));
}

#[test]
fn a_second_executor_of_a_whole_worker_profile_appears_in_a_later_pass() {
    let mut fleet = fleet_of_cores(&[10]);
    let other = fleet.take(worker(1), &request(4, 1, 0)).expect("room");
    let mut queue = ExecutorQueue::new();
    queue.set(app(1), demand(u64::MAX, shape(0, 1, 0), ALL));
    assert_eq!(slots(&place_executors(&mut fleet, &mut queue, &Policy::default())), [(1, 6)]);
    fleet.give_back(worker(1), &other);
    assert_eq!(slots(&place_executors(&mut fleet, &mut queue, &Policy::default())), [(1, 4)]);
}

#[test]
fn what_an_ended_executor_frees_goes_to_what_waits() {
    let mut fleet = fleet_of_cores(&[2]);
    let mut queue = ExecutorQueue::new();
    queue.set(app(1), demand(2, shape(1, 1, 0), ALL));
    let found = place_executors(&mut fleet, &mut queue, &Policy::default());
    assert_eq!(slots(&found), [(1, 1), (1, 1)]);
    fleet.give_back(worker(1), &found[0].resources);
    // The application's demand now says that it holds one core.
    let mut changed = queue.get(app(1)).expect("registered").clone();
    changed.cores_left = 1;
    changed.profiles.get_mut(&ProfileId(0)).expect("its profile").existing = 1;
    queue.set(app(1), changed);
    assert_eq!(slots(&place_executors(&mut fleet, &mut queue, &Policy::default())), [(1, 1)]);
}

#[test]
fn drivers_go_before_executors() {
    let mut fleet = fleet_of_cores(&[4]);
    let mut executors = ExecutorQueue::new();
    executors.set(app(1), demand(u64::MAX, shape(1, 1, 0), ALL));
    let mut drivers = queue_of([shape(1, 1, 0)]);
    assert_eq!(place_drivers(&mut fleet, &mut drivers, &Policy::default(), 0).len(), 1);
    assert_eq!(place_executors(&mut fleet, &mut executors, &Policy::default()).len(), 3);
}

#[test]
fn preferred_hosts_are_taken_first_up_to_their_counts() {
    let mut wanted = demand(u64::MAX, shape(1, 1, 0), 5);
    wanted.profiles.get_mut(&ProfileId(0)).expect("its profile").preferred_hosts =
        BTreeMap::from([("w1.example".into(), 2), ("w3.example".into(), 9), ("elsewhere".into(), 4)]);
    let mut fleet = fleet_of_cores(&[4, 8, 1]);
    let mut queue = ExecutorQueue::new();
    queue.set(app(1), wanted);
    let found = place_executors(&mut fleet, &mut queue, &Policy::default());
    assert_eq!(slots(&found), [(1, 1), (1, 1), (3, 1), (2, 1), (1, 1)]);
    let left = &queue.get(app(1)).expect("registered").profiles[&ProfileId(0)].preferred_hosts;
    assert_eq!(*left, BTreeMap::from([("w3.example".into(), 8), ("elsewhere".into(), 4)]));
}

#[test]
fn whole_workers_are_chosen_on_preferred_hosts_first() {
    let mut wanted = demand(6, shape(0, 1, 0), 2);
    wanted.profiles.get_mut(&ProfileId(0)).expect("its profile").preferred_hosts =
        BTreeMap::from([("w1.example".into(), 1)]);
    assert_eq!(given(&mut fleet_of_cores(&[4, 8, 9]), wanted, &Policy::default()), [(1, 3), (3, 3)]);
}

#[test]
fn excluded_hosts_are_given_nothing() {
    let excluding = Shape { excluded_hosts: BTreeSet::from(["w1.example".into()]), ..Shape::new(request(1, 1, 0)) };
    let mut fleet = fleet_of_cores(&[4, 1]);
    assert_eq!(given(&mut fleet, demand(u64::MAX, Arc::new(excluding), ALL), &Policy::default()), [(2, 1)]);
}

#[test]
fn the_clusters_default_limits_those_that_name_none() {
    let policy = Policy { default_cores: Some(4), ..Policy::default() };
    assert_eq!((policy.cores_left(0, 1), policy.cores_left(2, 5), policy.cores_left(9, 1)), (3, 0, 8));
    assert_eq!(Policy::default().cores_left(0, 1), u64::MAX - 1);
}
