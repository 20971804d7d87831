//! A model of fencing: agent, runner, guard, leader and kernel. Every order of their steps and of
//! their faults is searched, breadth first.
//!
//! The decisions are those of the program: the runner's [`Fence`] and the guard's [`Guard`].
//! Everything around them is modelled here after `crates/runner` and `crates/worker`, and must be
//! kept like them: which message is read when, what is written for the guard in which order, what
//! is frozen and thawed when.
//!
//! One leased tree runs when the search begins. Time is counted in ticks, and passes only when no
//! awake process has anything to do at once: an awake process is assumed to act within the margin.
//! Agent, runner and guard are stopped and killed at any step, between any decision and its effect.
//! Renewals and thaws wait in the stream and in the socket. The leader may declare the worker lost
//! as soon as its timeout permits, and a second copy then runs elsewhere for ever. Two executing
//! copies are the violation.
//!
//! The search is bounded in time and in answered heartbeats, so that it ends in seconds. It does
//! not follow states that cannot lead to two copies any more ([`model::State::is_decided`]). A
//! message waits for a stopped process, but not for an awake one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod model;

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashSet, VecDeque};
use std::hash::{Hash as _, Hasher as _};

use model::{Label, PROMISE, Rules, State, Without};

/// What a search found.
#[derive(Debug)]
struct Found {
    states: usize,
    /// The shortest way to two copies among those with the fewest faults, and the number of those
    /// faults.
    way: Option<(Vec<Label>, u8)>,
}

/// Searches all states up to the first violation, those with fewer faults before them first.
fn search(rules: Rules) -> Found {
    let fingerprint = |state: &State| {
        let mut hasher = DefaultHasher::new();
        state.hash(&mut hasher);
        hasher.finish()
    };
    let mut known = HashSet::new();
    // Where each state came from, so that the way can be printed.
    let mut origins: Vec<(usize, Label)> = vec![(0, "")];
    let mut first = VecDeque::from([(0, "", State::first())]);
    for faults in 0..=rules.faults {
        let mut later = VecDeque::new();
        let mut waiting = VecDeque::new();
        loop {
            // The states after a fault are kept for the next round, all others are followed at
            // once.
            let steps = match waiting.pop_front() {
                None => match first.pop_front() {
                    None => break,
                    Some(step) => vec![step],
                },
                Some((number, state)) => {
                    let with_origin = |(label, next)| (number, label, next);
                    if faults < rules.faults {
                        later.extend(State::faults(&state, rules).into_iter().map(with_origin));
                    }
                    State::steps(&state, rules).into_iter().map(with_origin).collect()
                }
            };
            for (origin, label, next) in steps {
                if next.is_decided(rules) || !known.insert(fingerprint(&next)) {
                    continue;
                }
                origins.push((origin, label));
                let number = origins.len() - 1;
                if next.is_violated() {
                    return Found { states: known.len(), way: Some((way_to(number, &origins), faults)) };
                }
                waiting.push_back((number, next));
            }
        }
        first = later;
    }
    Found { states: known.len(), way: None }
}

fn way_to(mut number: usize, origins: &[(usize, Label)]) -> Vec<Label> {
    let mut way = Vec::new();
    while number != 0 {
        way.push(origins[number].1);
        number = origins[number].0;
    }
    way.reverse();
    way.retain(|label| !label.is_empty());
    way
}

fn holds(rules: Rules) {
    let found = search(rules);
    assert!(found.way.is_none(), "{rules:?}: two copies execute: {:#?}", found.way);
    assert!(found.states > 100_000, "the search is not what it was: {} states", found.states);
}

#[test]
fn any_two_may_be_down_and_no_two_copies_execute() {
    holds(PROMISE);
}

#[test]
fn nor_do_they_where_a_tree_outlives_its_runner() {
    holds(Rules { namespace: false, faults: 2, ..PROMISE });
}

#[test]
fn nor_do_they_where_the_guard_hears_of_a_renewal_at_once() {
    holds(Rules { tells_at_once: true, faults: 2, ..PROMISE });
}

/// A rule, the fewest faults that lead to two copies without it, and the steps of that way.
const NEEDED: [(Without, u8, usize); 13] = [
    (Without::Guard, 2, 8),
    (Without::RunnersFence, 1, 7),
    (Without::AgentsFence, 2, 7),
    (Without::TwoBrakes, 0, 10),
    (Without::Gaps, 2, 19),
    (Without::Terms, 2, 18),
    (Without::ThawByLeader, 0, 14),
    (Without::ThawUnderLease, 0, 14),
    (Without::GuardFirst, 2, 22),
    (Without::ClockAfterwards, 2, 22),
    (Without::StoppedAfterwards, 2, 14),
    (Without::Margin, 0, 3),
    (Without::StreamsEnd, 0, 18),
];

#[test]
fn each_rule_is_needed() {
    for (without, faults, steps) in NEEDED {
        let tells_at_once = without == Without::Terms;
        let found = search(Rules { without, tells_at_once, ..PROMISE });
        let (way, least) = found.way.unwrap_or_else(|| panic!("{without:?}: nothing is wrong without it"));
        assert_eq!((least, way.len()), (faults, steps), "{without:?}: {way:#?}");
    }
}

#[test]
fn all_three_down_are_outside_the_promise() {
    let found = search(Rules { down: 3, ..PROMISE });
    let (way, faults) = found.way.unwrap();
    assert_eq!((faults, way.len()), (3, 8), "{way:#?}");
}
