//! The accounts of the fleet: amounts, addresses, and use beyond the total.

use muster_core::placement::*;
use muster_types::AllocatedResources;

use crate::support::*;

fn gpus(held: &AllocatedResources) -> Vec<&str> {
    held.addresses.get("gpu").into_iter().flatten().map(|address| &**address).collect()
}

#[test]
fn addresses_are_taken_in_the_workers_order_and_given_back() {
    let mut fleet = fleet_of([total(8, 100, 4)]);
    let first = fleet.take(worker(1), &request(1, 10, 2)).expect("room");
    let second = fleet.take(worker(1), &request(1, 10, 1)).expect("room");
    assert_eq!((gpus(&first), gpus(&second)), (vec!["0", "1"], vec!["2"]));
    assert_eq!(fleet.take(worker(1), &request(1, 10, 2)), None);
    fleet.give_back(worker(1), &first);
    assert_eq!(gpus(&fleet.free(worker(1)).expect("known")), ["0", "1", "3"]);
    assert_eq!(fleet.used(worker(1)), Some(request(1, 10, 1)));
}

#[test]
fn a_request_that_fails_in_one_amount_takes_nothing() {
    let mut fleet = fleet_of([total(2, 100, 1)]);
    for asked in [request(3, 1, 0), request(1, 101, 0), request(1, 1, 2)] {
        assert_eq!(fleet.take(worker(1), &asked), None);
    }
    assert_eq!(fleet.free(worker(1)), Some(total(2, 100, 1)));
}

#[test]
fn what_runs_beyond_the_total_is_a_debt_that_giving_back_pays_first() {
    let mut fleet = fleet_of([total(4, 100, 1)]);
    let (one, other) = (total(3, 60, 1), total(3, 60, 1));
    fleet.hold(worker(1), &one);
    fleet.hold(worker(1), &other);
    assert_eq!(fleet.used(worker(1)), Some(request(6, 120, 2)));
    assert_eq!(fleet.free(worker(1)).map(|free| (free.cores, free.memory)), Some((0, 0)));
    fleet.give_back(worker(1), &one);
    let free = fleet.free(worker(1)).expect("known");
    assert_eq!((free.cores, free.memory, gpus(&free).len()), (1, 40, 0));
    fleet.give_back(worker(1), &other);
    assert_eq!(fleet.free(worker(1)), Some(total(4, 100, 1)));
}

#[test]
fn an_address_that_the_worker_no_longer_names_is_remembered_until_given_back() {
    let mut fleet = fleet_of([total(4, 100, 2)]);
    let held = fleet.take(worker(1), &request(1, 1, 2)).expect("room");
    fleet.upsert(worker(1), facts("w1", total(4, 100, 1)));
    assert_eq!(fleet.used(worker(1)).map(|used| used.amount("gpu")), Some(2));
    fleet.upsert(worker(1), facts("w1", total(4, 100, 3)));
    assert_eq!(gpus(&fleet.free(worker(1)).expect("known")), ["2"]);
    fleet.give_back(worker(1), &held);
    assert_eq!(gpus(&fleet.free(worker(1)).expect("known")), ["0", "1", "2"]);
}

#[test]
fn a_new_worker_is_given_nothing_until_it_is_ready() {
    let mut fleet = Fleet::new();
    fleet.upsert(worker(1), facts("w1", total(4, 100, 0)));
    assert_eq!(fleet.eligibility(worker(1)), Some(Eligibility::Unconfirmed));
    let mut queue = queue_of([shape(1, 1, 0)]);
    assert!(place_drivers(&mut fleet, &mut queue, &Policy::default(), 0).is_empty());
    fleet.set_eligibility(worker(1), Eligibility::Ready);
    assert_eq!(pairs(&place_drivers(&mut fleet, &mut queue, &Policy::default(), 0)), [(1, 1)]);
}

#[test]
fn an_unknown_worker_is_nobody() {
    let mut fleet = Fleet::new();
    fleet.set_eligibility(worker(9), Eligibility::Ready);
    fleet.hold(worker(9), &total(1, 1, 1));
    fleet.give_back(worker(9), &total(1, 1, 1));
    fleet.remove(worker(9));
    assert_eq!(
        (fleet.take(worker(9), &request(0, 0, 0)), fleet.used(worker(9)), fleet.free(worker(9))),
        (None, None, None)
    );
}
