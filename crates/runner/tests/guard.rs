//! The guard stops leased trees when the runner cannot, and never lets anything go on that a leader
//! has not confirmed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod common;

use std::time::Duration;

use common::{
    Agent, LEASE, NONE, QUIET, TestRunner, V1, V2, beats, count_with_argument, driver, guard_of, guards_of, is_alive,
    lacks, leased, outcome, ticking, unique_word, wait_guard, wait_until,
};
use muster_agent::runner_protocol::ToRunner;
use muster_types::{AttemptState, Reason};
use rustix::process::{Pid, Signal, kill_process};

/// Waits for a while without a beat, then demands another one.
fn wait_still(runner: &TestRunner) {
    let begin = std::time::Instant::now();
    loop {
        let before = beats(runner);
        std::thread::sleep(QUIET);
        if beats(runner) == before {
            break;
        }
        assert!(begin.elapsed() < common::PATIENCE, "it executes");
    }
    let before = beats(runner);
    std::thread::sleep(QUIET);
    assert_eq!(beats(runner), before, "it executes again");
}

fn wait_ticking(runner: &TestRunner) {
    let before = beats(runner);
    wait_until("it ticks", || beats(runner) > before + 4);
}

fn stop(pid: Pid) {
    kill_process(pid, Signal::STOP).unwrap();
    wait_until("it is stopped", || state(pid) == Some('T'));
}

fn state(pid: Pid) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// A runner whose driver 1 is leased and ticks.
fn running(arguments: &[&str], lease: Duration, word: &str) -> (TestRunner, Agent) {
    let runner = TestRunner::start(arguments);
    let mut agent = runner.connect();
    agent.renew(lease);
    agent.start(leased(runner.shell(driver(1), &ticking(word))));
    agent.wait_running(driver(1));
    wait_ticking(&runner);
    (runner, agent)
}

/// The same with the freezer; `None` where the machine lacks this kind.
fn running_freezable(arguments: &[&str], lease: Duration, word: &str) -> Option<(TestRunner, Agent)> {
    let (runner, agent) = running(arguments, lease, word);
    (!lacks(arguments[1], agent.hello.capabilities.freezer)).then_some((runner, agent))
}

fn a_stopped_runner_is_stood_in_for(arguments: &[&str], name: &str) {
    let Some((runner, mut agent)) = running_freezable(arguments, LEASE, &unique_word(name)) else { return };
    let pid = runner.pid();
    stop(pid);
    // There is no beat after the lease's end, and no report of the runner.
    wait_still(&runner);

    // The runner finds a lease that a leader has given since: that does not let the tree go on.
    agent.renew(Duration::from_secs(60));
    kill_process(pid, Signal::CONT).unwrap();
    let report = agent.wait(driver(1), |report| report.state == AttemptState::Frozen);
    wait_still(&runner);
    agent.send(&[ToRunner::Thaw(driver(1))]);
    agent.wait(driver(1), |reported| reported.state == AttemptState::Running && reported.sequence > report.sequence);
    wait_ticking(&runner);
    agent.kill(driver(1), true);
    assert_eq!(agent.wait_ended(driver(1)).reason, Reason::Killed);
}

#[test]
fn a_stopped_runner_is_stood_in_for_v2() {
    a_stopped_runner_is_stood_in_for(V2, "stood2");
}

#[test]
fn a_stopped_runner_is_stood_in_for_v1() {
    a_stopped_runner_is_stood_in_for(V1, "stood1");
}

#[test]
fn a_stopped_runner_without_cgroups_loses_what_is_leased() {
    let word = unique_word("marks");
    let (runner, mut agent) = running(NONE, LEASE, &word);
    let pid = runner.pid();
    stop(pid);
    wait_until("it is killed", || count_with_argument(&word) == 0);
    kill_process(pid, Signal::CONT).unwrap();
    outcome(&agent.wait(driver(1), |report| matches!(report.state, AttemptState::Ended(_))));
}

#[test]
fn what_a_leader_renewed_in_time_goes_on_when_the_runner_wakes() {
    let Some((runner, mut agent)) = running_freezable(V2, LEASE, &unique_word("contiguous")) else { return };
    let pid = runner.pid();
    stop(pid);
    // It is sent under the lease that stands, and read long after its end.
    agent.renew(Duration::from_secs(60));
    wait_still(&runner);
    kill_process(pid, Signal::CONT).unwrap();
    wait_ticking(&runner);
    agent.ping();
    assert_eq!(agent.reports[&driver(1)].state, AttemptState::Running);
}

#[test]
fn what_the_stopped_runner_never_comes_back_for_is_killed() {
    let word = unique_word("never");
    let (runner, _agent) = running(&[V2, &["--fence-kill-after", "1s"]].concat(), LEASE, &word);
    let pid = runner.pid();
    stop(pid);
    wait_until("it is killed", || count_with_argument(&word) == 0);
    kill_process(pid, Signal::CONT).unwrap();
}

#[test]
fn what_is_not_leased_is_not_the_guards() {
    let runner = TestRunner::start(V2);
    let mut agent = runner.connect();
    agent.renew(LEASE);
    agent.start(runner.shell(driver(1), &ticking(&unique_word("free"))));
    agent.start(leased(runner.shell(driver(2), "while :; do echo >> others; sleep 0.01; done")));
    agent.wait_running(driver(1));
    agent.wait_running(driver(2));
    let pid = runner.pid();
    stop(pid);
    let others = || std::fs::metadata(runner.file("others")).map_or(0, |file| file.len());
    wait_until("what is leased stands still", || {
        let before = others();
        std::thread::sleep(QUIET);
        others() == before
    });
    wait_ticking(&runner);
    kill_process(pid, Signal::CONT).unwrap();
}

#[test]
fn a_stopped_guard_takes_nothing_from_the_runners_own_fence() {
    let Some((runner, mut agent)) = running_freezable(V2, LEASE, &unique_word("runner")) else { return };
    let guard = wait_guard(&runner);
    stop(guard);
    agent.wait(driver(1), |report| report.state == AttemptState::Frozen);
    wait_still(&runner);
}

#[test]
fn a_guard_that_dies_is_replaced_and_the_next_one_fences() {
    let Some((runner, mut agent)) = running_freezable(V2, Duration::from_secs(8), &unique_word("dies")) else { return };
    let first = wait_guard(&runner);
    kill_process(first, Signal::KILL).unwrap();
    wait_until("there is another guard", || guard_of(&runner).is_some_and(|guard| guard != first));
    // A leased start succeeds under it, so it answers.
    assert!(agent.run(leased(runner.shell(driver(2), "true"))).is_success());
    stop(runner.pid());
    wait_still(&runner);
    kill_process(runner.pid(), Signal::CONT).unwrap();
    agent.wait(driver(1), |report| report.state == AttemptState::Frozen);
}

#[test]
fn a_guard_that_is_stopped_is_replaced_and_what_is_leased_waits_for_the_next() {
    let (runner, mut agent) = running(V2, Duration::from_secs(60), &unique_word("replaced"));
    let first = wait_guard(&runner);
    stop(first);
    // A renewal shows that it does not answer.
    agent.renew(Duration::from_secs(60));
    agent.ping();
    std::thread::sleep(Duration::from_millis(1100));
    agent.start(leased(runner.shell(driver(2), "true")));
    assert!(agent.run(runner.shell(driver(3), "true")).is_success(), "what is not leased waits for nobody");
    assert!(agent.wait_ended(driver(2)).is_success());
    assert!(!is_alive(first), "nothing leased starts under a guard that does not answer");
    assert!(wait_guard(&runner) != first);
    wait_ticking(&runner);
}

/// A cgroup of the freezer of cgroup v1. A frozen process in it does not end when it is killed,
/// like a process that hangs in the kernel.
struct FrozenPlace(std::path::PathBuf);

impl FrozenPlace {
    fn hold(pid: Pid) -> Option<FrozenPlace> {
        let place = std::path::Path::new("/sys/fs/cgroup/freezer").join(unique_word("hung"));
        std::fs::create_dir(&place).ok()?;
        let place = FrozenPlace(place);
        std::fs::write(place.0.join("cgroup.procs"), pid.as_raw_nonzero().to_string()).unwrap();
        std::fs::write(place.0.join("freezer.state"), "FROZEN").unwrap();
        let state = || std::fs::read_to_string(place.0.join("freezer.state")).unwrap();
        wait_until("it is frozen", || state().trim() == "FROZEN");
        Some(place)
    }
}

impl Drop for FrozenPlace {
    fn drop(&mut self) {
        // A failed test must leave nothing frozen.
        let _ = std::fs::write(self.0.join("freezer.state"), "THAWED");
        let begin = std::time::Instant::now();
        while std::fs::remove_dir(&self.0).is_err() && begin.elapsed() < common::PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_guard_that_cannot_even_be_killed_holds_up_nobody() {
    let Some((runner, mut agent)) = running_freezable(V2, Duration::from_secs(60), &unique_word("hung")) else {
        return;
    };
    let first = wait_guard(&runner);
    let held = FrozenPlace::hold(first);
    if lacks("freezer", held.is_some()) {
        return;
    }
    // A renewal shows that it does not answer.
    agent.renew(Duration::from_secs(60));
    wait_until("it is replaced", || guards_of(&runner).iter().any(|guard| *guard != first));
    assert!(is_alive(first), "it hangs");
    assert!(agent.run(leased(runner.shell(driver(2), "true"))).is_success(), "the next guard answers");
    // The runner itself still fences.
    agent.renew(LEASE);
    agent.wait(driver(1), |report| report.state == AttemptState::Frozen);
    wait_still(&runner);
    drop(held);
    wait_until("it is reaped", || state(first).is_none());
}

#[test]
fn without_a_namespace_the_guard_ends_what_its_runner_left() {
    let word = unique_word("left");
    let arguments = [V2, &["--namespaces", "off"]].concat();
    let (runner, _agent) = running(&arguments, Duration::from_secs(60), &word);
    let guard = wait_guard(&runner);
    runner.crash();
    wait_until("nothing is left", || count_with_argument(&word) == 0);
    wait_until("the guard has ended", || !is_alive(guard));
}

#[test]
fn a_runner_that_ends_leaves_neither_guard_nor_cgroup() {
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect();
    if lacks("cgroup2", agent.hello.capabilities.tree) {
        return;
    }
    agent.renew(LEASE);
    let guard = wait_guard(&runner);
    let own = || {
        let text = std::fs::read_to_string(format!("/proc/{}/cgroup", guard.as_raw_nonzero())).unwrap();
        text.lines().find_map(|line| line.strip_prefix("0::").map(str::to_owned)).unwrap()
    };
    wait_until("the guard is in a cgroup of its own", || own().contains("/guard-"));
    let own = own();
    agent.send(&[ToRunner::Shutdown(Duration::ZERO)]);
    agent.hear_out();
    wait_until("the guard has ended", || !is_alive(guard));
    let mounts = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
    wait_until("nothing is left of its cgroups", || {
        mounts.iter().all(|mount| {
            let guard = std::path::PathBuf::from(format!("{mount}{own}"));
            !guard.exists() && !std::path::Path::new(&guard.to_str().unwrap().replace("/guard-", "/")).exists()
        })
    });
}
