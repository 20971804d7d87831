//! Explanations of why something waits (B14).

use std::collections::{BTreeMap, BTreeSet};

use muster_core::placement::*;
use muster_types::{PendingCause, PendingReason, RequiredContainment};

use crate::support::*;

fn shown(reason: &PendingReason) -> Vec<(&'static str, u32, &str)> {
    reason.causes.iter().map(|(cause, workers, sentence)| (cause.as_str(), *workers, sentence.as_str())).collect()
}

fn nearest(reason: &PendingReason) -> Option<(&str, &str)> {
    reason.nearest.as_ref().map(|(name, lacks)| (name.as_str(), lacks.as_str()))
}

#[test]
fn without_workers_that_is_the_reason_and_nothing_is_for_ever() {
    let reason = explain(&Fleet::new(), &shape(1, 1, 0), &Policy::default());
    assert_eq!(shown(&reason), [("NO_WORKERS", 0, "no worker has registered yet")]);
    assert_eq!((reason.nearest, reason.never_fits), (None, false));
}

#[test]
fn each_worker_is_counted_once_at_the_first_cause() {
    let mut fleet = fleet_of((0..9).map(|_| total(2, 100, 1)));
    let mut change = |n: u128, change: fn(&mut WorkerFacts)| {
        let mut facts = fleet.facts(worker(n)).expect("known").clone();
        change(&mut facts);
        fleet.upsert(worker(n), facts);
    };
    (1..=8).for_each(|n| change(n, |facts| drop(facts.labels.insert("zone".into(), "b".into()))));
    (1..=7).for_each(|n| change(n, |facts| facts.variables.extend(["JAVA_HOME".to_owned()])));
    change(7, |facts| facts.tree = false);
    fleet.set_eligibility(worker(1), Eligibility::Lost);
    fleet.set_eligibility(worker(2), Eligibility::Unconfirmed);
    fleet.set_eligibility(worker(3), Eligibility::Draining);
    fleet.hold(worker(5), &total(1, 0, 0));
    fleet.hold(worker(6), &total(0, 60, 1));
    let wanted = Shape {
        selector: BTreeMap::from([("zone".into(), "b".into())]),
        variables: BTreeSet::from(["JAVA_HOME".into()]),
        excluded_hosts: BTreeSet::from(["w4.example".into()]),
        leased: true,
        ..Shape::new(request(2, 50, 1))
    };
    let policy = Policy { require_containment: RequiredContainment::Tree, ..Policy::default() };
    let reason = explain(&fleet, &wanted, &policy);
    assert_eq!(
        shown(&reason),
        [
            ("DISCONNECTED", 1, "1 worker is not heard at present"),
            ("UNCONFIRMED", 1, "1 worker has not reported to this master yet"),
            ("DRAINING", 1, "1 worker drains"),
            ("EXCLUDED", 1, "1 worker is on an excluded host"),
            ("LABELS", 1, "1 worker does not carry zone=b"),
            ("VARIABLE", 1, "1 worker does not define the variable JAVA_HOME"),
            ("CONTAINMENT", 1, "1 worker cannot end a whole process tree, which leased work needs"),
            ("CORES", 1, "1 worker has too few free cores: at most 1 of 2"),
            ("MEMORY", 1, "1 worker has too little free memory: at most 40 B of 50 B"),
        ]
    );
    // `w5` lacks half of the cores; `w6` lacks a fifth of the memory and the only gpu.
    assert_eq!(nearest(&reason), Some(("w5", "lacks 1 core (1 of 2 free)")));
    assert!(!reason.never_fits && !fits_now(&fleet, &wanted, &policy));
}

#[test]
fn a_demand_for_users_says_which_promise_is_missing() {
    let said = |tree: bool, owner_users: bool| {
        let mut fleet = fleet_of([total(4, 1 << 30, 0)]);
        let facts = WorkerFacts { tree, owner_users, ..fleet.facts(worker(1)).expect("known").clone() };
        fleet.upsert(worker(1), facts);
        let policy = Policy { require_containment: RequiredContainment::Users, ..Policy::default() };
        let reason = explain(&fleet, &shape(1, 1, 0), &policy);
        assert!(reason.never_fits);
        (reason.causes[0].2.clone(), nearest(&reason).map(|(_, lacks)| lacks.to_owned()))
    };
    let all = "1 worker cannot end a whole process tree or does not give each owner a user of its own, which all work \
               here needs";
    let lacks = |text: &str| Some(format!("{text}, which all work here needs"));
    assert_eq!(said(false, true), (all.to_owned(), lacks("cannot end a whole process tree")));
    assert_eq!(said(true, false), (all.to_owned(), lacks("does not give each owner a user of its own")));
}

#[test]
fn the_most_common_cause_comes_first_and_says_how_near_it_is() {
    let mut fleet = fleet_of([total(4, 1 << 30, 0), total(8, 1 << 30, 0), total(64, 1 << 20, 0)]);
    fleet.hold(worker(1), &total(4, 0, 0));
    fleet.hold(worker(2), &total(5, 0, 0));
    let reason = explain(&fleet, &shape(4, 512 << 20, 0), &Policy::default());
    assert_eq!(
        shown(&reason),
        [
            ("CORES", 2, "2 workers have too few free cores: at most 3 of 4"),
            ("MEMORY", 1, "1 worker has too little free memory: at most 1 MiB of 512 MiB"),
        ]
    );
    assert_eq!(nearest(&reason), Some(("w2", "lacks 1 core (3 of 4 free)")));
}

#[test]
fn the_nearest_lacks_the_least_of_what_is_asked() {
    let mut fleet = fleet_of([total(1, 100, 0), total(8, 90, 2)]);
    fleet.hold(worker(2), &total(0, 0, 1));
    let reason = explain(&fleet, &shape(4, 100, 2), &Policy::default());
    assert_eq!(nearest(&reason), Some(("w2", "lacks 10 B memory (90 B of 100 B free) and 1 gpu (1 of 2 free)")));
    assert_eq!(reason.causes[1].0, PendingCause::Memory);
}

#[test]
fn what_no_empty_worker_with_its_labels_could_hold_never_fits() {
    let mut fleet = fleet_of([total(4, 100, 0), total(8, 50, 0)]);
    let never = |fleet: &Fleet, shape: &Shape| explain(fleet, shape, &Policy::default()).never_fits;
    assert!(never(&fleet, &shape(8, 100, 0)));
    assert!(never(&fleet, &shape(1, 1, 1)));
    fleet.hold(worker(1), &total(4, 100, 0));
    fleet.set_eligibility(worker(1), Eligibility::Disconnected);
    assert!(!never(&fleet, &shape(4, 100, 0)));
    let mut labelled = Shape::new(request(1, 1, 0));
    labelled.selector.insert("zone".into(), "b".into());
    assert!(never(&fleet, &labelled));
}

#[test]
fn executors_that_name_no_cores_need_one() {
    let mut fleet = fleet_of([total(4, 100, 0)]);
    assert!(fits_now(&fleet, &shape(0, 1, 0), &Policy::default()));
    fleet.hold(worker(1), &total(4, 0, 0));
    let reason = explain(&fleet, &shape(0, 1, 0), &Policy::default());
    assert_eq!(shown(&reason), [("CORES", 1, "1 worker has too few free cores: at most 0 of 1")]);
}
