//! Limits, where this machine lets the runner enforce them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod common;

use common::{TestRunner, driver, lacks};
use muster_types::{Exit, Fault, Reason};

/// Takes memory far beyond the limit of the tests: one endless line. It is bounded in case the
/// limit fails.
const EAT: &str = "ulimit -v 2000000; exec tail /dev/zero";

#[test]
fn who_exceeds_its_memory_is_ended_and_it_is_said() {
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect();
    if lacks("memory-limits", agent.hello.capabilities.memory_limit) {
        return;
    }
    let mut start = runner.shell(driver(1), EAT);
    start.limits.memory = Some(32 << 20);
    let outcome = agent.run(start);
    assert_eq!((outcome.exit, outcome.reason), (Exit::Signal(9), Reason::OutOfMemory));
    assert!(outcome.out_of_memory);
    assert_eq!(outcome.fault, Fault::Program);
}

#[test]
fn a_child_that_is_killed_for_memory_ends_the_program_even_if_it_goes_on_to_say_that_all_is_well() {
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect();
    if lacks("memory-limits", agent.hello.capabilities.memory_limit) {
        return;
    }
    let mut start = runner.shell(driver(1), "sh -c 'ulimit -v 2000000; tail /dev/zero'; exit 0");
    start.limits.memory = Some(32 << 20);
    let outcome = agent.run(start);
    assert_eq!((outcome.reason, outcome.out_of_memory), (Reason::OutOfMemory, true), "{outcome:?}");
}

#[test]
fn an_out_of_memory_kill_takes_the_whole_tree() {
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect();
    if lacks("memory-limits", agent.hello.capabilities.memory_limit) {
        return;
    }
    let mut start = runner.shell(driver(1), "ulimit -v 2000000; tail /dev/zero & while :; do sleep 1000; done");
    start.limits.memory = Some(32 << 20);
    let outcome = agent.run(start);
    assert_eq!((outcome.exit, outcome.reason), (Exit::Signal(9), Reason::OutOfMemory));
}

#[test]
fn who_stays_inside_its_limits_is_left_alone() {
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect();
    let mut start = runner.shell(driver(1), "true; cat /proc/self/cgroup");
    start.limits.memory = Some(64 << 20);
    start.limits.cpu_millis = Some(500);
    start.limits.pids = Some(16);
    assert!(agent.run(start).is_success());
}

#[test]
fn processes_are_limited() {
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect();
    if lacks("process-limits", agent.hello.capabilities.pids_limit) {
        return;
    }
    let script = "for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; exit 0";
    let mut start = runner.shell(driver(1), script);
    start.limits.pids = Some(4);
    let outcome = agent.run(start);
    assert_ne!(outcome.exit, Exit::Code(0), "the shell could not fork");
    assert_eq!(outcome.reason, Reason::Exited);
}

#[test]
fn a_memory_kill_by_somebody_else_is_a_plain_signal() {
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect();
    let mut start = runner.shell(driver(1), "kill -KILL $$");
    start.limits.memory = Some(64 << 20);
    let outcome = agent.run(start);
    assert_eq!((outcome.exit, outcome.reason, outcome.out_of_memory), (Exit::Signal(9), Reason::Exited, false));
}
