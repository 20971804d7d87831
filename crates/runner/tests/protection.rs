//! Runner and guard are spared and scheduled first, as far as the machine permits, and no program
//! inherits any of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod common;

use std::fs;
use std::time::Duration;

use common::{
    LEASE, NONE, QUIET, TestRunner, V1, V2, beats, driver, leased, report_pid, ticking, unique_word, wait_guard,
};
use muster_types::AttemptState;
use rustix::process::Pid;

const OUTSIDE: &[&str] = &["--tree", "cgroup2", "--namespaces", "off"];

/// The nice value with which the runners are started, and what is added to the test's OOM score for
/// them.
const NICE: i64 = 3;
const OOM_MORE: i64 = 100;

/// Policies of scheduling, as the kernel numbers them.
const OTHER: i64 = 0;
const FIFO: i64 = 1;
const IDLE: i64 = 5;

/// What the kernel reports of a process.
#[derive(Debug, PartialEq, Eq)]
struct ProcessAttributes {
    oom_score: i64,
    nice: i64,
    policy: i64,
    /// The weight of its session.
    autogroup: i64,
    is_locked: bool,
    /// The last names of those of its cgroups that belong to this project.
    cgroups: Vec<String>,
}

fn attributes_of(pid: Pid) -> ProcessAttributes {
    let read = |name: &str| fs::read_to_string(format!("/proc/{}/{name}", pid.as_raw_nonzero()));
    let stat = read("stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let field = |number: usize| fields[number - 3].trim().parse().unwrap();
    let status = read("status").unwrap();
    let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
    let cgroups = read("cgroup").unwrap();
    // The file is absent where sessions are not weighed.
    let autogroup = read("autogroup").unwrap_or_default();
    ProcessAttributes {
        oom_score: read("oom_score_adj").unwrap().trim().parse().unwrap(),
        nice: field(19),
        policy: field(41),
        autogroup: autogroup.trim().rsplit_once(' ').map_or(0, |(_, nice)| nice.parse().unwrap()),
        is_locked: locked.trim() != "0 kB",
        cgroups: cgroups
            .lines()
            .filter_map(|line| line.split_once("/muster/"))
            .map(|(_, path)| path.rsplit('/').next().unwrap().to_owned())
            .collect(),
    }
}

fn own() -> ProcessAttributes {
    attributes_of(rustix::process::getpid())
}

fn is_root() -> bool {
    !common::lacks("root", rustix::process::geteuid().is_root())
}

/// A launcher that executes its arguments with another nice value and OOM score than the test's.
fn changed() -> Vec<String> {
    let score = own().oom_score + OOM_MORE;
    let set = format!("echo {score} > /proc/self/oom_score_adj; exec nice -n {NICE} \"$@\"");
    ["sh", "-c", &set, "sh"].map(str::to_owned).to_vec()
}

/// The runner is started with unusual values. It is protected, and a program, leased or not, has
/// the values with which the runner was started.
fn programs_have_what_the_runner_was_started_with(arguments: &[&str]) {
    let launcher = changed();
    let launcher: Vec<&str> = launcher.iter().map(String::as_str).collect();
    let runner = TestRunner::start_by(&launcher, arguments);
    let mut agent = runner.connect();
    agent.renew(Duration::from_secs(60));
    agent.start(runner.shell(driver(1), "sleep 1000"));
    agent.start(leased(runner.shell(driver(2), "sleep 1000")));
    for key in [driver(1), driver(2)] {
        let program = attributes_of(report_pid(&agent.wait_running(key)));
        let is_own = |name: &String| *name == key.to_string();
        assert!(program.cgroups.iter().all(is_own), "{program:?}");
        let usual = ProcessAttributes {
            oom_score: own().oom_score + OOM_MORE,
            nice: own().nice + NICE,
            policy: OTHER,
            autogroup: 0,
            is_locked: false,
            cgroups: program.cgroups.clone(),
        };
        assert_eq!(program, usual);
    }
    if is_root() {
        let runner = attributes_of(runner.pid());
        assert_eq!((runner.nice, runner.policy, runner.is_locked), (-20, OTHER, true), "{runner:?}");
        assert!(runner.oom_score == -1000 || runner.oom_score <= own().oom_score, "{runner:?}");
    }
}

#[test]
fn programs_have_what_the_runner_was_started_with_v2() {
    programs_have_what_the_runner_was_started_with(V2);
}

#[test]
fn programs_have_what_the_runner_was_started_with_v1() {
    programs_have_what_the_runner_was_started_with(V1);
}

#[test]
fn programs_have_what_the_runner_was_started_with_without_cgroups() {
    programs_have_what_the_runner_was_started_with(NONE);
}

#[test]
fn programs_have_what_the_runner_was_started_with_without_a_namespace() {
    programs_have_what_the_runner_was_started_with(OUTSIDE);
}

/// Both are in cgroups of their own, where every program has one, so that nothing that is done to
/// the cgroup in which the runner was started stops them.
#[test]
fn runner_and_guard_are_protected_and_apart() {
    if !is_root() {
        return;
    }
    for kind in [V2, V1] {
        let runner = TestRunner::start(kind);
        let mut agent = runner.connect();
        // A leased attempt runs, so the guard has answered.
        agent.renew(Duration::from_secs(60));
        agent.start(leased(runner.shell(driver(1), "sleep 1000")));
        agent.wait_running(driver(1));
        let guard_pid = wait_guard(&runner);
        let (guard, runner) = (attributes_of(guard_pid), attributes_of(runner.pid()));
        assert!(runner.cgroups.len() == 1 && runner.cgroups[0].starts_with("runner-"), "{runner:?}");
        assert!(!guard.cgroups.is_empty(), "{guard:?}");
        assert!(guard.cgroups.iter().all(|name| name.starts_with("guard-")), "{guard:?}");
        assert_eq!((runner.nice, runner.policy, runner.is_locked), (-20, OTHER, true), "{runner:?}");
        assert!(guard.policy == FIFO || guard.nice == -20, "{guard:?}");
        assert!(guard.is_locked, "{guard:?}");
        assert_eq!(guard.oom_score, runner.oom_score);
    }
}

/// Idle scheduling of the worker is meant for its programs.
#[test]
fn a_runner_that_was_started_for_idle_times_is_awake_and_its_programs_are_idle() {
    if !is_root() {
        return;
    }
    let runner = TestRunner::start_by(&["chrt", "--idle", "0"], V2);
    let mut agent = runner.connect();
    agent.start(runner.shell(driver(1), "sleep 1000"));
    let program = attributes_of(report_pid(&agent.wait_running(driver(1))));
    assert_eq!((program.policy, program.nice), (IDLE, own().nice));
    let runner = attributes_of(runner.pid());
    assert_eq!((runner.policy, runner.nice), (OTHER, -20));
}

/// Where nothing of this is permitted, the runner says so once, and works all the same.
#[test]
fn without_privileges_nothing_is_protected_and_everything_works() {
    if !is_root() {
        return;
    }
    let user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let runner = TestRunner::start_by(&user, &[]);
    let mut agent = runner.connect();
    agent.renew(LEASE);
    agent.start(leased(runner.shell(driver(1), &ticking(&unique_word("nobody")))));
    let program = attributes_of(report_pid(&agent.wait_running(driver(1))));
    assert_eq!((program.oom_score, program.nice, program.policy), (own().oom_score, own().nice, OTHER));
    agent.wait(driver(1), |report| matches!(report.state, AttemptState::Ended(_) | AttemptState::Frozen));
    let before = beats(&runner);
    std::thread::sleep(QUIET);
    assert_eq!(beats(&runner), before, "it executes after the lease");
    let log = fs::read_to_string(runner.state_dir().join("runner.log")).unwrap();
    assert_eq!(log.matches("the runner cannot be scheduled first").count(), 1, "{log}");
}
