//! What is submitted in a trace goes on in it: with each attempt, and under each leader.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use muster_core::{CallId, Config, Effect, Group, Input, LinkId, Request};
use muster_types::{AttemptKey, AttemptNumber, Session, TraceContext, WorkerCommand};

use support::specs::{self, Words};
use support::words::{self, worker_uid};
use support::world::World;

fn link(session: u64) -> LinkId {
    LinkId { worker: worker_uid("w1"), session: Session(session) }
}

fn join(world: &mut World, session: u64) -> Vec<Group> {
    let mut groups =
        world.step(Input::Hello(link(session), Box::new(words::hello("w1", session, &Words::parse("cores=8")))));
    groups.extend(world.step(Input::Inventory(link(session), Vec::new(), true)));
    groups
}

/// The attempts that are launched, with their traces.
fn launched(groups: Vec<Group>) -> Vec<(AttemptKey, Option<TraceContext>)> {
    let commands = groups.into_iter().flat_map(|group| group.effects).filter_map(|effect| match effect {
        Effect::Send(_, commands) => Some(commands),
        _ => None,
    });
    let launches = commands.flatten().filter_map(|command| match command {
        WorkerCommand::Launch(launch) => Some((launch.attempt, launch.trace)),
        _ => None,
    });
    launches.collect()
}

#[test]
fn the_attempts_of_a_driver_are_in_the_trace_of_its_submission_under_every_leader() {
    let mut world = World::new(Config::default());
    join(&mut world, 1);
    let trace = TraceContext::new(1, 2, true);
    let spec = specs::driver(&Words::parse("restart=on-failure"));
    let submit = Request::SubmitDriver { id: None, spec, request: None, owner: None, trace, validate_only: false };
    let first = launched(world.step(Input::Call(CallId(1), submit)));
    let uid = *world.ledger.fold.drivers.keys().next().unwrap();
    let key = |number| AttemptKey::Driver(uid, AttemptNumber(number));
    assert_eq!(first, [(key(1), trace)]);

    // Its worker never had it, says the next leader, and launches it again.
    world.crash();
    assert_eq!(launched(join(&mut world, 2)), [(key(1), trace)]);

    let failed = words::report(key(1), words::state("exit:1"), 1, world.now.wall, &world.ledger.fold);
    world.step(Input::Reports(link(2), vec![failed]));
    world.pass(std::time::Duration::from_secs(60));
    assert_eq!(launched(world.step(Input::Tick)), [(key(2), trace)]);
}

#[test]
fn executors_are_in_the_trace_of_their_applications_registration() {
    let mut world = World::new(Config::default());
    join(&mut world, 1);
    let trace = TraceContext::new(3, 4, false);
    let spec = specs::application(&Words::parse("target=2"));
    let register = Request::RegisterApplication { id: None, spec, owner: None, trace, request: None, token: None };
    let traces: Vec<_> =
        launched(world.step(Input::Call(CallId(1), register))).into_iter().map(|(_, trace)| trace).collect();
    assert_eq!(traces, [trace, trace]);
}
