//! Tests of bounds: writes per driver, groups, records of executors, and the cost of an event while
//! much waits.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed; its output is for who reads it"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use muster_core::{CallId, Config, Effect, Group, Input, LinkId, MAX_GROUP_WRITES, MAX_TOKENS, ProfileTarget, Request};
use muster_types::{
    ApplicationUid, AttemptKey, AttemptNumber, DriverId, DriverUid, ExecutorId, KilledBy, ProfileId, Report, RequestId,
    Session, Write,
};

use support::specs::{self, Words};
use support::words::{self, worker_uid};
use support::world::World;

fn link(name: &str) -> LinkId {
    LinkId { worker: worker_uid(name), session: Session(1) }
}

fn join(world: &mut World, name: &str, said: &str) {
    world.step(Input::Hello(link(name), Box::new(words::hello(name, 1, &Words::parse(said)))));
    world.step(Input::Inventory(link(name), Vec::new(), true));
}

fn submit(said: &str) -> Input {
    let spec = specs::driver(&Words::parse(said));
    Input::Call(
        CallId(1),
        Request::SubmitDriver { id: None, spec, request: None, owner: None, trace: None, validate_only: false },
    )
}

fn said(world: &World, key: AttemptKey, state: &str) -> Report {
    words::report(key, words::state(state), 1, world.now.wall, &world.ledger.fold)
}

fn the_driver(world: &World) -> DriverUid {
    *world.ledger.fold.drivers.keys().next().unwrap()
}

#[test]
fn a_driver_is_put_at_most_four_times_over_its_life() {
    let mut world = World::new(Config::default());
    world.step(submit(""));
    join(&mut world, "w1", "");
    let uid = the_driver(&world);
    let key = AttemptKey::Driver(uid, AttemptNumber(1));
    for state in ["accepted", "running"] {
        let report = said(&world, key, state);
        world.step(Input::Reports(link("w1"), vec![report]));
    }
    let driver = uid.to_string();
    let kill = Request::KillDriver { driver, request: None, version: None, by: KilledBy::Operator };
    world.step(Input::Call(CallId(2), kill.clone()));
    world.step(Input::Call(CallId(3), kill));
    for state in ["killing", "killed"] {
        let report = said(&world, key, state);
        world.step(Input::Reports(link("w1"), vec![report]));
    }
    assert_eq!(world.ledger.puts[&uid], 4, "submitted, assigned, to be killed, killed");
}

#[test]
fn a_driver_that_is_placed_at_once_and_ends_is_put_twice() {
    let mut world = World::new(Config::default());
    join(&mut world, "w1", "");
    world.step(submit(""));
    let uid = the_driver(&world);
    for state in ["running", "exit:0"] {
        let report = said(&world, AttemptKey::Driver(uid, AttemptNumber(1)), state);
        world.step(Input::Reports(link("w1"), vec![report]));
    }
    assert_eq!(world.ledger.puts[&uid], 2);
}

#[test]
fn thousands_at_once_fall_into_bounded_groups_with_every_effect_in_order() {
    let mut world = World::new(Config::default());
    let groups = world.batch((0..3_000).map(|_| submit("restart=on-failure")).collect());
    assert!(groups.len() >= 3_000 / MAX_GROUP_WRITES);
    join(&mut world, "w1", "cores=3000 memory=4096G");
    assert!(world.ledger.fold.drivers.values().all(|record| record.attempts.len() == 1));
    // The ledger checks the bounds of each group, and that each launch follows its write.
    let groups = world.step(Input::Expired(vec![worker_uid("w1")]));
    let lost = groups
        .iter()
        .position(|group| group.effects.iter().any(|effect| matches!(effect, Effect::WorkerLossCommitted(_))));
    assert_eq!(lost, Some(groups.len() - 1), "the loss is committed with the last group, once all of it is decided");
}

#[test]
fn a_driver_that_is_killed_again_and_again_keeps_the_newest_request_ids() {
    let mut world = World::new(Config::default());
    join(&mut world, "w1", "");
    world.step(submit(""));
    let uid = the_driver(&world);
    let ids: Vec<RequestId> = (0..20).map(|number| RequestId::new(format!("k{number}"))).collect();
    for id in &ids {
        let (driver, request) = (uid.to_string(), Some(id.clone()));
        let kill = Request::KillDriver { driver, request, version: None, by: KilledBy::Operator };
        world.step(Input::Call(CallId(1), kill));
    }
    let kill = world.ledger.fold.drivers[&uid].kill.clone().expect("it was killed");
    assert_eq!(kill.requests, ids[12..]);
}

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Submits a driver and kills it at once. The request id carries the present time.
fn submit_and_kill(world: &mut World, name: &str) -> Vec<Group> {
    let millis = format!("{:012x}", world.now.wall.0);
    let request = RequestId::new(format!("{}-{}-7abc-8def-0123456789ab", &millis[..8], &millis[8..]));
    let (id, spec) = (Some(DriverId::new(name)), specs::driver(&Words::parse("")));
    let submit =
        Request::SubmitDriver { id, spec, request: Some(request), owner: None, trace: None, validate_only: false };
    let groups = world.step(Input::Call(CallId(1), submit));
    let kill = Request::KillDriver { driver: name.into(), request: None, version: None, by: KilledBy::Operator };
    world.step(Input::Call(CallId(2), kill));
    groups
}

fn names(world: &World) -> Vec<String> {
    world.ledger.fold.drivers.values().map(|record| record.id.to_string()).collect()
}

#[test]
fn a_clock_that_was_ahead_of_time_neither_keeps_records_nor_has_requests_refused() {
    let mut world = World::new(Config { kept_records: 1, ..Config::default() });
    let present = world.now.wall;
    world.pass(YEAR);
    submit_and_kill(&mut world, "future");
    world.now.wall = present;
    world.crash();
    world.pass(Duration::from_millis(1));
    let refused = |group: &Group| group.effects.iter().any(|effect| matches!(effect, Effect::Reply(_, Err(_))));
    assert!(!submit_and_kill(&mut world, "present").iter().any(refused), "its id is not of the past");

    let mut world = World::new(Config::default());
    world.pass(YEAR);
    submit_and_kill(&mut world, "future");
    world.now.wall = present;
    world.crash();
    submit_and_kill(&mut world, "present");
    world.pass(world.config.kept + Duration::from_secs(1));
    world.step(Input::Tick);
    assert_eq!(names(&world), ["future"], "the other is a day old");
}

fn register(world: &mut World, said: &str) -> ApplicationUid {
    let spec = specs::application(&Words::parse(said));
    let request = Request::RegisterApplication { id: None, spec, owner: None, trace: None, request: None, token: None };
    world.step(Input::Call(CallId(1), request));
    *world.ledger.fold.applications.keys().next().unwrap()
}

fn want(world: &mut World, uid: ApplicationUid, sequence: u64, target: u32) -> Vec<Group> {
    let targets =
        vec![ProfileTarget { profile: ProfileId(0), target, new_profile: None, preferred_hosts: BTreeMap::new() }];
    world.step(Input::Call(
        CallId(1),
        Request::RequestExecutors {
            application: uid.to_string(),
            token: None,
            sequence,
            targets,
            excluded_hosts: BTreeSet::new(),
            request: None,
        },
    ))
}

#[test]
fn records_of_executors_stay_in_proportion_to_what_is_kept() {
    let mut world = World::new(Config { kept_executors: 20, ..Config::default() });
    join(&mut world, "w1", "cores=8");
    let uid = register(&mut world, "target=0 keep");
    let mut ended = 0;
    for round in 1..=400u32 {
        want(&mut world, uid, 2 * u64::from(round), 4);
        want(&mut world, uid, 2 * u64::from(round) + 1, 0);
        let open: Vec<ExecutorId> = world
            .ledger
            .fold
            .executors_of(uid)
            .into_iter()
            .filter(|(_, executor)| executor.outcome.is_none())
            .map(|(id, _)| id)
            .collect();
        for id in open {
            let report = said(&world, AttemptKey::Executor(uid, id), "exit:0");
            world.step(Input::Reports(link("w1"), vec![report]));
            ended += 1;
        }
        world.pass(Duration::from_secs(301));
        world.step(Input::Tick);
    }
    assert!(ended > 40, "the application was given executors: {ended}");
    let entries: usize = world.ledger.fold.executors.values().map(|record| record.executors.len()).sum();
    assert!(entries <= 2 * 20 + 64 + 8, "{entries} entries for 20 kept executors");
    // The next leader does not give a number again.
    world.crash();
    world.step(Input::Hello(link("w1"), Box::new(words::hello("w1", 1, &Words::parse("cores=8")))));
    world.step(Input::Inventory(link("w1"), Vec::new(), true));
    let session = Request::OpenSession { application: uid.to_string(), token: None };
    world.step(Input::Call(CallId(1), session));
    want(&mut world, uid, 10_000, 1);
    let newest = world.ledger.fold.executors_of(uid).keys().max().copied();
    assert_eq!(newest, Some(ExecutorId(ended)));
}

#[test]
fn an_application_of_thousands_ends_in_bounded_groups() {
    let mut world = World::new(Config::default());
    join(&mut world, "w1", "cores=2000 memory=8192G");
    let uid = register(&mut world, "target=2000 keep");
    assert_eq!(world.ledger.fold.executors_of(uid).len(), 2_000);
    world.step(Input::Call(CallId(1), Request::KillApplication { application: uid.to_string(), request: None }));
    let reports = (0..2_000).map(|id| said(&world, AttemptKey::Executor(uid, ExecutorId(id)), "killed"));
    let reports: Vec<_> = reports.collect();
    world.step(Input::Reports(link("w1"), reports));
    assert!(world.ledger.fold.applications[&uid].state.is_terminal());
}

/// In a full cluster, an event costs what it changes, and nothing for drivers that wait or have
/// finished. The bound is far above the measured time, and far below the time that it takes to
/// examine everything that waits.
#[test]
fn an_event_costs_nothing_for_what_waits_or_has_finished() {
    const WAITING: usize = 100_000;
    let mut world = World::new(Config::default());
    let core = &mut world.core;
    for i in 0..1_000u64 {
        let name = format!("w{}", i + 1);
        core.handle(
            world.now,
            &mut world.entropy,
            Input::Hello(link(&name), Box::new(words::hello(&name, 1, &Words::parse("cores=1")))),
        );
        core.handle(world.now, &mut world.entropy, Input::Inventory(link(&name), Vec::new(), true));
    }
    for _ in 0..WAITING {
        core.handle(world.now, &mut world.entropy, submit("restart=never"));
    }
    core.place(world.now, &mut world.entropy);
    let mut running: Vec<(AttemptKey, LinkId)> = launches(&core.drain());
    assert_eq!(running.len(), 1_000, "one on each");
    let began = Instant::now();
    let mut events = 0u32;
    for _ in 0..2 {
        for (key, link) in std::mem::take(&mut running) {
            let report = Report {
                attempt: key,
                sequence: 1,
                state: words::state("exit:0"),
                pid: None,
                started: None,
                ended: None,
                resources: Default::default(),
                id: String::new(),
            };
            core.handle(world.now, &mut world.entropy, Input::Reports(link, vec![report]));
            core.place(world.now, &mut world.entropy);
            running.extend(launches(&core.drain()));
            events += 1;
        }
    }
    assert_eq!(running.len(), 1_000, "each end made room for the next");
    let each = began.elapsed() / events;
    println!("{each:?} for each end with its next launch, {WAITING} waiting, 1000 workers");
    assert!(each < Duration::from_millis(3), "{each:?}");
}

fn launches(groups: &[Group]) -> Vec<(AttemptKey, LinkId)> {
    let mut found = Vec::new();
    for effect in groups.iter().flat_map(|group| &group.effects) {
        if let Effect::Send(link, commands) = effect {
            for command in commands {
                if let muster_types::WorkerCommand::Launch(launch) = command {
                    found.push((launch.attempt, *link));
                }
            }
        }
    }
    found
}

#[test]
fn finished_records_go_in_bounded_groups() {
    let mut world = World::new(Config { kept_records: 10, ..Config::default() });
    for _ in 0..40 {
        world.step(submit("cores=9"));
    }
    let uids: Vec<_> = world.ledger.fold.drivers.keys().copied().collect();
    for uid in uids {
        let driver = uid.to_string();
        let request = Request::KillDriver { driver, request: None, version: None, by: KilledBy::Operator };
        world.step(Input::Call(CallId(1), request));
    }
    assert_eq!(world.ledger.fold.drivers.len(), 10);
    world.pass(Duration::from_secs(24 * 3600));
    let groups = world.step(Input::Tick);
    assert!(groups.iter().flat_map(|group| &group.writes).all(|write| matches!(write, Write::DeleteDriver(_))));
    assert!(world.ledger.fold.drivers.is_empty());
    assert_eq!(world.core.next_deadline(), None, "nothing is left to wait for");
}

#[test]
fn what_a_worker_says_before_its_inventory_is_bounded() {
    let mut world = World::new(Config::default());
    join(&mut world, "w1", "worker w1");
    let next = LinkId { session: Session(2), ..link("w1") };
    world.step(Input::Hello(next, Box::new(words::hello("w1", 2, &Words::parse("worker w1")))));
    let key = |number| AttemptKey::Driver(DriverUid(1), AttemptNumber(number));
    let reports: Vec<Report> = (0..100_001).map(|number| said(&world, key(number), "running")).collect();
    let mut is_refused = || {
        let groups = world.step(Input::Reports(next, reports.clone()));
        groups.iter().flat_map(|group| &group.effects).any(|effect| matches!(effect, Effect::Reconnect(_)))
    };
    let times = (1..=12).find(|_| is_refused());
    assert_eq!(times, Some(10), "a million, and no more");
}

#[test]
fn tokens_are_bounded_and_ended_ones_make_room() {
    let mut world = World::new(Config::default());
    let create = |number: usize, said: &str| {
        let token = specs::token(&Words::parse(said), &format!("{number:x}"));
        Input::Call(CallId(1), Request::CreateToken { token, by: "ann".to_owned() })
    };
    for first in (0..MAX_TOKENS).step_by(1000) {
        world.batch((first..first + 1000).map(|number| create(number, "")).collect());
    }
    let is_refused = |groups: &[Group]| {
        groups.iter().flat_map(|group| &group.effects).any(|effect| matches!(effect, Effect::Reply(_, Err(_))))
    };
    assert!(is_refused(&world.step(create(MAX_TOKENS, ""))));
    assert!(!is_refused(&world.step(create(7, ""))), "a repetition needs no room");
    let revoke = Request::RevokeToken { token: specs::token_id("7"), by: "ann".to_owned() };
    world.step(Input::Call(CallId(1), revoke));
    assert!(!is_refused(&world.step(create(MAX_TOKENS, "ttl=1h"))), "the revoked one makes room");
    assert!(is_refused(&world.step(create(MAX_TOKENS + 1, ""))));
    world.pass(Duration::from_secs(3600));
    assert!(!is_refused(&world.step(create(MAX_TOKENS + 1, ""))), "so does one that has expired");
    assert_eq!(world.ledger.fold.tokens.len(), MAX_TOKENS);
}

#[test]
fn many_tokens_that_end_at_once_are_removed_in_bounded_groups() {
    let mut world = World::new(Config::default());
    let create = |number: usize| {
        let token = specs::token(&Words::parse("ttl=1h"), &format!("{number:x}"));
        Input::Call(CallId(1), Request::CreateToken { token, by: "ann".to_owned() })
    };
    world.batch((0..3000).map(create).collect());
    world.pass(Duration::from_secs(24 * 3600));
    world.step(Input::Tick);
    assert_eq!(world.ledger.fold.tokens.len(), 3000, "they are kept for a day after their end");
    world.pass(Duration::from_secs(3600));
    let mut ticks = 0;
    while !world.ledger.fold.tokens.is_empty() {
        world.pass(Duration::from_millis(1));
        assert!(world.core.next_deadline().is_some_and(|due| due <= world.now.time), "{ticks}");
        let removed: usize = world.step(Input::Tick).iter().map(|group| group.writes.len()).sum();
        assert!(removed <= 1024, "{removed}");
        ticks += 1;
    }
    assert_eq!(ticks, 3);
}
