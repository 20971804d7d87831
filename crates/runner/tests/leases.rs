//! The fence: leased attempts end with their lease, whichever agent is connected.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod common;

use std::time::{Duration, Instant};

use common::{TestRunner, driver, leased, now, wait_until};
use muster_agent::runner_protocol::{Renewal, ToRunner};
use muster_types::{AttemptState, Exit, Fault, Reason, WallTime};

const FOREVER: &str = "trap '' TERM; while :; do sleep 1000; done";

#[test]
fn nothing_leased_starts_without_a_lease() {
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect();
    let outcome = agent.run(leased(runner.shell(driver(1), "echo ran > ran")));
    assert_eq!((outcome.reason, outcome.fault, outcome.exit), (Reason::Refused, Fault::Platform, Exit::None));
    assert!(!runner.file("ran").exists());
    agent.renew(Duration::from_secs(45));
    assert!(agent.run(leased(runner.shell(driver(2), "true"))).is_success());
}

#[test]
fn a_lease_that_is_over_starts_nothing() {
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect();
    agent.renew(Duration::ZERO);
    assert_eq!(agent.run(leased(runner.shell(driver(1), "true"))).reason, Reason::Refused);
}

#[test]
fn what_was_accepted_under_one_lease_is_not_started_under_another() {
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect();
    agent.renew(Duration::from_millis(500));
    let start = leased(runner.shell(driver(1), "echo ran > ran"));
    agent.send(&[ToRunner::Accept(start.accepted.clone())]);
    agent.wait(driver(1), |report| report.state == AttemptState::Accepted);
    // Fetching its artifacts takes longer than the lease lasts; meanwhile a leader may have run it
    // elsewhere.
    assert_eq!(agent.wait_ended(driver(1)).reason, Reason::NeverStarted);
    agent.renew(Duration::from_secs(45));
    assert_eq!(agent.run(start).reason, Reason::NeverStarted);
    assert!(!runner.file("ran").exists());
}

#[test]
fn without_a_freezer_the_end_of_the_lease_ends_what_is_leased_and_nothing_else() {
    let runner = TestRunner::start(&["--tree", "none"]);
    let mut agent = runner.connect();
    let lease = Duration::from_millis(1500);
    let begin = Instant::now();
    agent.renew(lease);
    agent.start(leased(runner.shell(driver(1), FOREVER)));
    agent.start(runner.shell(driver(2), FOREVER));
    agent.wait_running(driver(1));
    agent.wait_running(driver(2));
    assert!(!agent.hello.capabilities.freezer);
    let outcome = agent.wait_ended(driver(1));
    assert!(begin.elapsed() >= lease, "not before its end");
    assert_eq!((outcome.exit, outcome.reason), (Exit::Signal(9), Reason::LeaseEnded));
    assert_eq!(outcome.fault, Fault::Platform);
    agent.ping();
    assert_eq!(agent.reports[&driver(2)].state, AttemptState::Running);
}

#[test]
fn renewals_keep_what_is_leased_running() {
    let runner = TestRunner::start(&["--fence-kill-after", "0"]);
    let mut agent = runner.connect();
    let lease = Duration::from_secs(2);
    agent.renew(lease);
    agent.start(leased(runner.shell(driver(1), FOREVER)));
    let begin = Instant::now();
    while begin.elapsed() < lease * 2 {
        agent.renew(lease);
        agent.ping();
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(agent.reports[&driver(1)].state, AttemptState::Running);
    assert_eq!(agent.wait_ended(driver(1)).reason, Reason::LeaseEnded, "and it ends without them");
}

#[test]
fn the_lease_ends_without_any_agent() {
    let runner = TestRunner::start(&["--fence-kill-after", "0"]);
    let mut agent = runner.connect();
    agent.renew(Duration::from_millis(1500));
    agent.start(leased(runner.shell(driver(1), "echo > ready; while :; do sleep 0.01; echo >> beats; done")));
    wait_until("it runs", || runner.file("beats").exists());
    drop(agent);
    let beats = runner.file("beats");
    wait_until("it is ended", || {
        let next = std::fs::metadata(&beats).unwrap().len();
        std::thread::sleep(Duration::from_millis(300));
        next == std::fs::metadata(&beats).unwrap().len()
    });
    let mut agent = runner.connect();
    let inventory = agent.inventory();
    assert_eq!(common::outcome(&inventory[0]).reason, Reason::LeaseEnded);
}

#[test]
fn an_older_renewal_changes_nothing_and_a_new_agent_inherits_the_lease() {
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect();
    let (sent, sent_wall) = now();
    let newest = Renewal { sent, sent_wall, lease: Duration::from_secs(60) };
    let older = Renewal { sent: sent - Duration::from_secs(5), lease: Duration::ZERO, ..newest };
    agent.send(&[ToRunner::Renew(newest), ToRunner::Renew(older)]);
    assert!(agent.run(leased(runner.shell(driver(1), "true"))).is_success());
    let agent = runner.connect();
    assert_eq!(agent.hello.renewal, Some(newest));
}

#[test]
fn a_forward_step_of_the_wall_clock_shortens_the_lease() {
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect();
    let (sent, sent_wall) = now();
    // As if the wall clock had gone an hour forward since the heartbeat was sent.
    let sent_wall = WallTime(sent_wall.0 - 3_600_000);
    agent.send(&[ToRunner::Renew(Renewal { sent, sent_wall, lease: Duration::from_secs(60) })]);
    assert_eq!(agent.run(leased(runner.shell(driver(1), "true"))).reason, Reason::Refused);
}
