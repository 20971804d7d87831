//! The end of the lease where there is a freezer: a leased tree executes nothing, goes on when it
//! is confirmed under a lease, and otherwise ends.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod common;

use std::time::{Duration, Instant};

use common::{
    Agent, LEASE, QUIET, TestRunner, V1, V2, beats, count_with_argument, driver, is_alive, lacks, leased, outcome,
    report_pid, ticking, unique_word, wait_until,
};
use muster_agent::runner_protocol::{AgentHello, ToRunner};
use muster_types::{AttemptState, Exit, Fault, Reason, Report};

/// A tree that does nothing for a while executes nothing.
fn assert_still(runner: &TestRunner) {
    let before = beats(runner);
    std::thread::sleep(QUIET);
    assert_eq!(beats(runner), before, "it executes");
}

fn wait_ticking(runner: &TestRunner) {
    let before = beats(runner);
    wait_until("it ticks", || beats(runner) > before + 4);
}

/// A runner with the freezer, and driver 1 frozen in it; `None` where the machine lacks this kind.
fn frozen(arguments: &[&str], word: &str) -> Option<(TestRunner, Agent, Report)> {
    let runner = TestRunner::start(arguments);
    let mut agent = runner.connect();
    let feature = arguments.get(1).copied().unwrap_or("freezer");
    if lacks(feature, agent.hello.capabilities.freezer) {
        assert_eq!(agent.hello.capabilities.tree_method, "none", "a tree that is held can be frozen here");
        return None;
    }
    agent.renew(LEASE);
    agent.start(leased(runner.shell(driver(1), &ticking(word))));
    let running = agent.wait_running(driver(1));
    let report = agent.wait(driver(1), |report| report.state == AttemptState::Frozen);
    assert_eq!(report.pid, running.pid);
    Some((runner, agent, report))
}

fn it_stops_and_goes_on_under_a_lease_alone(arguments: &[&str], name: &str) {
    let Some((runner, mut agent, report)) = frozen(arguments, &unique_word(name)) else { return };
    assert_still(&runner);
    assert!(is_alive(report_pid(&report)));

    agent.send(&[ToRunner::Thaw(driver(1))]);
    agent.ping();
    assert_still(&runner);

    agent.renew(Duration::from_secs(60));
    let again = agent.wait(driver(1), |reported| reported.sequence > report.sequence);
    assert_eq!(again.state, AttemptState::Frozen, "a lease alone confirms nothing");
    assert_still(&runner);

    agent.send(&[ToRunner::Thaw(driver(1))]);
    let thawed = agent.wait_running(driver(1));
    assert!(thawed.sequence > again.sequence);
    wait_ticking(&runner);

    agent.send(&[ToRunner::Thaw(driver(1))]);
    agent.ping();
    wait_ticking(&runner);
    agent.kill(driver(1), true);
    assert_eq!(agent.wait_ended(driver(1)).reason, Reason::Killed);
    assert_still(&runner);
}

#[test]
fn it_stops_and_goes_on_under_a_lease_alone_v2() {
    it_stops_and_goes_on_under_a_lease_alone(V2, "goes-on2");
}

#[test]
fn it_stops_and_goes_on_under_a_lease_alone_v1() {
    it_stops_and_goes_on_under_a_lease_alone(V1, "goes-on1");
}

fn what_was_thawed_is_frozen_again_at_the_next_end(arguments: &[&str], name: &str) {
    let Some((runner, mut agent, report)) = frozen(arguments, &unique_word(name)) else { return };
    agent.renew(LEASE);
    agent.send(&[ToRunner::Thaw(driver(1))]);
    agent.wait(driver(1), |reported| reported.state == AttemptState::Running && reported.sequence > report.sequence);
    agent.wait(driver(1), |reported| reported.state == AttemptState::Frozen && reported.sequence > report.sequence + 1);
    assert_still(&runner);
}

#[test]
fn what_was_thawed_is_frozen_again_at_the_next_end_v2() {
    what_was_thawed_is_frozen_again_at_the_next_end(V2, "again2");
}

#[test]
fn what_was_thawed_is_frozen_again_at_the_next_end_v1() {
    what_was_thawed_is_frozen_again_at_the_next_end(V1, "again1");
}

/// The grace is twenty seconds, and none of it is waited for.
fn a_kill_while_it_is_frozen_leaves_nothing(arguments: &[&str], name: &str) {
    let word = unique_word(name);
    let Some((runner, mut agent, _)) = frozen(arguments, &word) else { return };
    let (begin, before) = (Instant::now(), beats(&runner));
    agent.kill(driver(1), false);
    let outcome = agent.wait_ended(driver(1));
    assert!(begin.elapsed() < Duration::from_secs(15), "nobody in it hears a TERM");
    assert_eq!((outcome.reason, outcome.exit), (Reason::Killed, Exit::Signal(9)));
    assert_eq!(count_with_argument(&word), 0);
    assert_eq!(beats(&runner), before, "it executed nothing on its way out");
}

#[test]
fn a_kill_while_it_is_frozen_leaves_nothing_v2() {
    a_kill_while_it_is_frozen_leaves_nothing(V2, "kill2");
}

#[test]
fn a_kill_while_it_is_frozen_leaves_nothing_v1() {
    a_kill_while_it_is_frozen_leaves_nothing(V1, "kill1");
}

fn what_nobody_confirms_is_killed(arguments: &[&str], name: &str) {
    let word = unique_word(name);
    let arguments = [arguments, &["--fence-kill-after", "1s"]].concat();
    let Some((_runner, mut agent, _)) = frozen(&arguments, &word) else { return };
    let outcome = agent.wait_ended(driver(1));
    assert_eq!((outcome.reason, outcome.fault), (Reason::LeaseEnded, Fault::Platform));
    assert_eq!(count_with_argument(&word), 0);
}

#[test]
fn what_nobody_confirms_is_killed_v2() {
    what_nobody_confirms_is_killed(V2, "limit2");
}

#[test]
fn what_nobody_confirms_is_killed_v1() {
    what_nobody_confirms_is_killed(V1, "limit1");
}

fn a_shutdown_ends_what_is_frozen(arguments: &[&str], name: &str) {
    let word = unique_word(name);
    let Some((_runner, mut agent, _)) = frozen(arguments, &word) else { return };
    agent.send(&[ToRunner::Shutdown(Duration::from_secs(20))]);
    assert_eq!(agent.wait_ended(driver(1)).reason, Reason::Killed);
    assert_eq!(count_with_argument(&word), 0);
}

#[test]
fn a_shutdown_ends_what_is_frozen_v2() {
    a_shutdown_ends_what_is_frozen(V2, "shutdown2");
}

#[test]
fn a_shutdown_ends_what_is_frozen_v1() {
    a_shutdown_ends_what_is_frozen(V1, "shutdown1");
}

/// The kernel ends a tree of the second version with its runner, frozen or not. A tree of the first
/// version executes nothing any more, and is gone when the next runner serves.
fn a_crash_while_it_is_frozen_leaves_nothing(arguments: &[&str], name: &str, ends_at_once: bool) {
    let word = unique_word(name);
    let Some((runner, mut agent, _)) = frozen(arguments, &word) else { return };
    let (before, first) = (beats(&runner), agent.hello.incarnation);
    runner.signal_kill();
    agent.hear_out();
    if agent.hello.capabilities.dies_with_runner && ends_at_once {
        wait_until("the kernel has ended all", || count_with_argument(&word) == 0);
    }
    runner.launch();
    assert_eq!(count_with_argument(&word), 0, "nothing is left when the next runner serves");
    assert_eq!(beats(&runner), before, "and nothing executed meanwhile");
    let mut agent = runner.connect();
    assert!(agent.hello.incarnation > first);
    assert!(agent.inventory().is_empty(), "what was frozen is lost");
}

#[test]
fn a_crash_while_it_is_frozen_leaves_nothing_v2() {
    a_crash_while_it_is_frozen_leaves_nothing(V2, "crash2", true);
}

#[test]
fn a_crash_while_it_is_frozen_leaves_nothing_v1() {
    a_crash_while_it_is_frozen_leaves_nothing(V1, "crash1", false);
}

#[test]
fn a_crash_without_a_namespace_while_it_is_frozen_leaves_nothing_v2() {
    let arguments = [V2, &["--namespaces", "off"]].concat();
    a_crash_while_it_is_frozen_leaves_nothing(&arguments, "bare2", false);
}

#[test]
fn a_crash_without_a_namespace_while_it_is_frozen_leaves_nothing_v1() {
    let arguments = [V1, &["--namespaces", "off"]].concat();
    a_crash_while_it_is_frozen_leaves_nothing(&arguments, "bare1", false);
}

#[test]
fn a_main_process_that_somebody_kills_while_it_is_frozen_takes_its_tree_along() {
    let word = unique_word("outside");
    let Some((_runner, mut agent, report)) = frozen(V2, &word) else { return };
    rustix::process::kill_process(report_pid(&report), rustix::process::Signal::KILL).unwrap();
    assert_eq!(agent.wait_ended(driver(1)).exit, Exit::Signal(9));
    assert_eq!(count_with_argument(&word), 0);
}

#[test]
fn a_new_agent_finds_what_is_frozen_and_it_goes_on() {
    let Some((runner, agent, _)) = frozen(V2, &unique_word("agent")) else { return };
    drop(agent);
    let mut agent = runner.connect();
    assert_eq!(agent.inventory()[0].state, AttemptState::Frozen);
    agent.renew(Duration::from_secs(60));
    agent.send(&[ToRunner::Thaw(driver(1))]);
    agent.wait_running(driver(1));
    wait_ticking(&runner);
}

#[test]
fn what_is_not_leased_is_not_frozen_and_what_is_being_killed_is_killed() {
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect();
    agent.renew(LEASE);
    agent.start(leased(runner.shell(driver(1), "trap '' TERM; echo > trapped; while :; do sleep 0.1; done")));
    agent.start(runner.shell(driver(2), "while :; do echo >> beats; sleep 0.01; done"));
    agent.wait_running(driver(1));
    agent.wait_running(driver(2));
    wait_until("it ignores TERM", || runner.file("trapped").exists());
    agent.kill(driver(1), false);
    let outcome = outcome(&agent.wait(driver(1), |report| matches!(report.state, AttemptState::Ended(_))));
    assert_eq!((outcome.reason, outcome.exit), (Reason::Killed, Exit::Signal(9)), "its grace ends with its lease");
    wait_ticking(&runner);
    assert_eq!(agent.reports[&driver(2)].state, AttemptState::Running);
}

#[test]
fn an_agent_that_cannot_pass_on_a_thaw_gets_a_kill_at_the_leases_end() {
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect_as(AgentHello { version_min: 1, version_max: 1 });
    assert_eq!(agent.hello.version, 1);
    agent.renew(LEASE);
    agent.start(leased(runner.shell(driver(1), "while :; do sleep 0.1; done")));
    assert_eq!(agent.wait_ended(driver(1)).reason, Reason::LeaseEnded);
}
