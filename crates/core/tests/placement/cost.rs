//! The cost of passes, as the number of examined workers.

use muster_core::placement::*;

use crate::support::*;

/// 1,000 workers of 4 cores each, with all cores in use.
fn full() -> Fleet {
    let mut fleet = fleet_of_cores(&[4; 1_000]);
    for n in 1..=1_000 {
        (0..4).for_each(|_| drop(fleet.take(worker(n), &request(1, 1, 0)).expect("room")));
    }
    fleet
}

fn examined(fleet: &mut Fleet, action: impl FnOnce(&mut Fleet)) -> u64 {
    let before = fleet.examined();
    action(fleet);
    fleet.examined() - before
}

#[test]
fn a_full_cluster_with_100_000_waiting_drivers_costs_no_look_per_event() {
    let mut fleet = full();
    let mut queue = queue_of((0..100_000).map(|n| shape(1 + n % 4, 1, 0)));
    let policy = Policy::default();
    let first = examined(&mut fleet, |fleet| drop(place_drivers(fleet, &mut queue, &policy, 0)));
    assert!(first < 100, "{first} looks to see that everything is full");

    let events = examined(&mut fleet, |fleet| {
        for n in 0..1_000 {
            queue.push(driver(1_000_000 + n), shape(1, 1, 0));
            queue.remove(driver(1 + n));
            // Events by which no worker rises: a drain, a loss, an end that only reduces an excess.
            fleet.set_eligibility(worker(1 + n), Eligibility::Draining);
            fleet.hold(worker(1_000), &total(1, 1, 0));
            fleet.give_back(worker(1_000), &total(1, 1, 0));
            assert!(place_drivers(fleet, &mut queue, &policy, 0).is_empty());
        }
    });
    assert_eq!(events, 0);
}

#[test]
fn an_end_costs_one_look_per_shape_that_it_may_serve() {
    let mut fleet = full();
    let mut queue = queue_of((0..100_000).map(|n| shape(1 + n % 4, 1, 0)));
    let policy = Policy::default();
    place_drivers(&mut fleet, &mut queue, &policy, 0);
    for n in 1..=100 {
        let cost = examined(&mut fleet, |fleet| {
            fleet.give_back(worker(n), &total(1, 1, 0));
            assert_eq!(place_drivers(fleet, &mut queue, &policy, 0).len(), 1);
        });
        // One for the driver that is placed, and one for the next of its shape, which finds the
        // worker full again.
        assert_eq!(cost, 2);
    }
}

#[test]
fn thousands_of_drivers_in_one_pass_cost_about_a_look_each() {
    let mut fleet = fleet_of_cores(&[4; 1_000]);
    let mut queue = queue_of((0..10_000).map(|_| shape(1, 1, 0)));
    let cost = examined(&mut fleet, |fleet| {
        assert_eq!(place_drivers(fleet, &mut queue, &Policy::default(), 0).len(), 4_000);
    });
    // Each placed driver counts; so does each worker when it is collected, with its block, and when
    // it is found full.
    assert!(cost < 4_000 + 4 * 1_000, "{cost} looks");
}

#[test]
fn a_thousand_applications_that_wait_cost_no_look_per_event() {
    let (mut fleet, policy) = (full(), Policy::default());
    let mut queue = ExecutorQueue::new();
    (0..1_000).for_each(|n| queue.set(app(n), demand(u64::MAX, shape(2, 1, 0), 10)));
    let first = examined(&mut fleet, |fleet| drop(place_executors(fleet, &mut queue, &policy)));
    assert!(first < 100, "{first} looks to see that everything is full");
    let events = examined(&mut fleet, |fleet| {
        for n in 0..1_000 {
            queue.set(app(n), demand(u64::MAX, shape(2, 1, 0), 11));
            assert!(place_executors(fleet, &mut queue, &policy).is_empty());
        }
    });
    assert_eq!(events, 0);
    // When an executor ends, the first application gets the place, the second finds nothing left,
    // and the others are not tried.
    let one = examined(&mut fleet, |fleet| {
        fleet.give_back(worker(5), &total(2, 1, 0));
        assert_eq!(place_executors(fleet, &mut queue, &policy)[0].application, app(0));
    });
    assert!(one <= 2, "{one} looks");
}

#[test]
fn executors_cost_about_a_look_per_slot_however_large_the_cluster() {
    let mut fleet = fleet_of_cores(&[64; 5_000]);
    let mut queue = ExecutorQueue::new();
    (0..1_000).for_each(|n| queue.set(app(n), demand(u64::MAX, shape(1, 1, 0), 10)));
    let cost = examined(&mut fleet, |fleet| {
        assert_eq!(place_executors(fleet, &mut queue, &Policy::default()).len(), 10_000);
    });
    // Each slot costs one entry, sometimes with its block and the entries that were skipped in it.
    assert!(cost < 4 * 10_000, "{cost} looks");
}
