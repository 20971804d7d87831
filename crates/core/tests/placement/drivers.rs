//! Placement of drivers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_core::placement::*;
use muster_types::RequiredContainment;

use crate::support::*;

fn pass(fleet: &mut Fleet, queue: &mut DriverQueue, policy: &Policy) -> Vec<(u128, u128)> {
    pairs(&place_drivers(fleet, queue, policy, 0))
}

fn count_by_worker(found: &[(u128, u128)]) -> BTreeMap<u128, usize> {
    let mut counts = BTreeMap::new();
    found.iter().for_each(|(_, worker)| *counts.entry(*worker).or_default() += 1);
    counts
}

#[test]
fn six_drivers_go_round_three_workers() {
    let (mut fleet, mut queue) = (fleet_of_cores(&[8, 8, 8]), queue_of(vec![shape(1, 1, 0); 6]));
    let found = pass(&mut fleet, &mut queue, &Policy::default());
    assert_eq!(count_by_worker(&found), BTreeMap::from([(1, 2), (2, 2), (3, 2)]));
    // The cursor moves on with each driver, so the second round repeats the first.
    let order = |half: &[(u128, u128)]| half.iter().map(|(_, worker)| *worker).collect::<Vec<_>>();
    assert_eq!(order(&found[..3]), order(&found[3..]));
    assert!(queue.is_empty());
}

#[test]
fn drivers_that_come_one_by_one_are_spread_like_those_that_come_together() {
    let (mut fleet, mut queue) = (fleet_of_cores(&[16, 16, 16]), DriverQueue::new());
    let mut found = Vec::new();
    for n in 1..=24 {
        queue.push(driver(n), shape(1, 1, 0));
        found.extend(pass(&mut fleet, &mut queue, &Policy::default()));
    }
    assert_eq!(count_by_worker(&found), BTreeMap::from([(1, 8), (2, 8), (3, 8)]));
}

#[test]
fn equals_take_turns_when_each_driver_ends_before_the_next_comes() {
    let (mut fleet, mut queue) = (fleet_of_cores(&[4, 4, 4]), DriverQueue::new());
    let mut order = Vec::new();
    for n in 1..=6 {
        queue.push(driver(n), shape(1, 1, 0));
        let placed = place_drivers(&mut fleet, &mut queue, &Policy::default(), 0).remove(0);
        fleet.give_back(placed.worker, &placed.resources);
        order.push(placed.worker.0);
    }
    assert_eq!(order, [1, 2, 3, 1, 2, 3]);
}

#[test]
fn the_worker_with_the_most_free_is_given_the_next() {
    let (mut fleet, mut queue) = (fleet_of_cores(&[2, 6, 4]), queue_of(vec![shape(1, 1, 0); 6]));
    let found = pass(&mut fleet, &mut queue, &Policy::default());
    // In the end all workers have the same number of free cores.
    assert_eq!(count_by_worker(&found), BTreeMap::from([(2, 4), (3, 2)]));
}

#[test]
fn compact_fills_the_lowest_uid_while_it_fits() {
    let (mut fleet, mut queue) = (fleet_of_cores(&[3, 2, 8]), queue_of(vec![shape(1, 1, 0); 6]));
    let found = pass(&mut fleet, &mut queue, &compact());
    assert_eq!(found, [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (6, 3)]);
}

#[test]
fn a_driver_that_does_not_fit_blocks_nobody_and_keeps_its_turn() {
    let (mut fleet, mut queue) = (fleet_of_cores(&[4]), queue_of([shape(100, 1, 0), shape(1, 1, 0), shape(3, 1, 0)]));
    assert_eq!(pass(&mut fleet, &mut queue, &Policy::default()), [(2, 1), (3, 1)]);
    fleet.upsert(worker(1), facts("w1", total(104, 1 << 40, 0)));
    assert_eq!(pass(&mut fleet, &mut queue, &Policy::default()), [(1, 1)]);
}

#[test]
fn each_amount_bounds_what_fits() {
    let tight = || fleet_of([total(4, 100, 2)]);
    let placed = |shape: Arc<Shape>| pass(&mut tight(), &mut queue_of(vec![shape; 9]), &Policy::default()).len();
    assert_eq!(placed(shape(1, 1, 0)), 4);
    assert_eq!(placed(shape(1, 40, 0)), 2);
    assert_eq!(placed(shape(1, 1, 1)), 2);
    assert_eq!(placed(shape(1, 1, 3)), 0);
}

#[test]
fn the_limit_counts_what_is_placed_already() {
    let policy = Policy { max_drivers: Some(2), ..Policy::default() };
    let (mut fleet, mut queue) = (fleet_of_cores(&[8]), queue_of(vec![shape(1, 1, 0); 4]));
    let mut pass = |placed| pairs(&place_drivers(&mut fleet, &mut queue, &policy, placed));
    assert_eq!(pass(0), [(1, 1), (2, 1)]);
    assert_eq!(pass(2), []);
    assert_eq!(pass(1), [(3, 1)]);
    assert_eq!(pass(0), [(4, 1)]);
}

#[test]
fn a_pass_that_the_limit_broke_off_forgets_no_worker_that_rose() {
    let policy = Policy { max_drivers: Some(1), ..compact() };
    let mut fleet = fleet_of_cores(&[2, 2]);
    let held = [1, 2].map(|n| fleet.take(worker(n), &request(2, 0, 0)).expect("room"));
    let mut queue = queue_of([shape(1, 1, 0), shape(2, 1, 0), shape(1, 2, 0)]);
    let mut placed = 0;
    assert_eq!(pairs(&place_drivers(&mut fleet, &mut queue, &policy, placed)), []);
    fleet.give_back(worker(1), &held[0]);
    fleet.give_back(worker(2), &held[1]);
    let mut found = Vec::new();
    for _ in 0..3 {
        found.extend(pairs(&place_drivers(&mut fleet, &mut queue, &policy, placed)));
        placed = 0;
    }
    assert_eq!(found, [(1, 1), (2, 2), (3, 1)]);
}

#[test]
fn a_driver_that_runs_again_may_go_first() {
    let (mut fleet, mut queue) = (fleet_of_cores(&[1]), queue_of([shape(1, 1, 0), shape(1, 1, 0)]));
    queue.push_front(driver(9), shape(1, 2, 0));
    assert_eq!(pass(&mut fleet, &mut queue, &Policy::default()), [(9, 1)]);
    assert_eq!(queue.len(), 2);
}

#[test]
fn a_driver_that_was_killed_while_it_waited_is_not_placed() {
    let (mut fleet, mut queue) = (fleet_of_cores(&[8]), queue_of([shape(1, 1, 0), shape(1, 1, 0)]));
    assert!(queue.remove(driver(1)));
    assert!(!queue.remove(driver(1)));
    assert_eq!(pass(&mut fleet, &mut queue, &Policy::default()), [(2, 1)]);
}

#[test]
fn labels_variables_hosts_and_containment_are_conditions() {
    let mut fleet = fleet_of_cores(&[8, 8, 8, 8, 8]);
    let mut change = |n: u128, change: fn(&mut WorkerFacts)| {
        let mut facts = fleet.facts(worker(n)).expect("known").clone();
        change(&mut facts);
        fleet.upsert(worker(n), facts);
    };
    (1..=4).for_each(|n| change(n, |facts| drop(facts.labels.insert("zone".into(), "b".into()))));
    (2..=5).for_each(|n| change(n, |facts| facts.variables.extend(["SPARK_HOME".to_owned()])));
    change(3, |facts| facts.tree = false);
    let wanted = Arc::new(Shape {
        selector: BTreeMap::from([("zone".into(), "b".into())]),
        variables: BTreeSet::from(["SPARK_HOME".into()]),
        excluded_hosts: BTreeSet::from(["w2.example".into()]),
        leased: true,
        ..Shape::new(request(8, 1, 0))
    });
    let policy = Policy { require_containment: RequiredContainment::Tree, ..Policy::default() };
    let mut queue = queue_of(vec![wanted; 5]);
    assert_eq!(pass(&mut fleet, &mut queue, &policy), [(1, 4)]);
    let mut facts = fleet.facts(worker(3)).expect("known").clone();
    facts.tree = true;
    fleet.upsert(worker(3), facts);
    assert_eq!(pass(&mut fleet, &mut queue, &policy), [(2, 3)]);
}

#[test]
fn where_owners_are_to_have_users_nothing_is_placed_without_both_promises() {
    let mut fleet = fleet_of_cores(&[8, 8, 8]);
    let mut change = |n: u128, tree: bool, owner_users: bool| {
        let facts = WorkerFacts { tree, owner_users, ..fleet.facts(worker(n)).expect("known").clone() };
        fleet.upsert(worker(n), facts);
    };
    change(1, true, false);
    change(2, false, true);
    // It is about work that is not leased as well.
    let work = Arc::new(Shape { leased: false, ..Shape::new(request(8, 1, 0)) });
    let policy = Policy { require_containment: RequiredContainment::Users, ..Policy::default() };
    let mut queue = queue_of(vec![work; 3]);
    assert_eq!(pass(&mut fleet, &mut queue, &policy), [(1, 3)]);
    // A worker that comes back with the promise is tried again.
    let facts = WorkerFacts { owner_users: true, ..fleet.facts(worker(1)).expect("known").clone() };
    fleet.upsert(worker(1), facts);
    assert_eq!(pass(&mut fleet, &mut queue, &policy), [(2, 1)]);
}

#[test]
fn only_ready_workers_are_given_anything() {
    let mut fleet = fleet_of_cores(&[1; 5]);
    for (n, eligibility) in
        [Eligibility::Disconnected, Eligibility::Lost, Eligibility::Unconfirmed, Eligibility::Draining]
            .into_iter()
            .enumerate()
    {
        fleet.set_eligibility(worker(n as u128 + 1), eligibility);
    }
    let mut queue = queue_of(vec![shape(1, 1, 0); 5]);
    assert_eq!(pass(&mut fleet, &mut queue, &Policy::default()), [(1, 5)]);
    fleet.set_eligibility(worker(4), Eligibility::Ready);
    assert_eq!(pass(&mut fleet, &mut queue, &Policy::default()), [(2, 4)]);
    fleet.remove(worker(3));
    fleet.set_eligibility(worker(3), Eligibility::Ready);
    assert_eq!(pass(&mut fleet, &mut queue, &Policy::default()), []);
}
