//! Agents come and go, and runners crash: what is remembered, ended and reported.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod common;

use std::time::Duration;

use common::{
    NONE, TestRunner, V1, V2, accepted, count_with_argument, driver, is_alive, outcome, report_pid, unique_word,
    wait_until,
};
use muster_agent::runner_protocol::{Kill, KillReason, Start, ToAgent, ToRunner};
use muster_os::proc;
use muster_testenv::{SmallDisk, lacks};
use muster_types::{AttemptKey, AttemptState, Exit, Fault, KilledBy, Outcome, Reason};
use rustix::process::{Signal, kill_process};

/// The command of `fcntl`, which libc lacks: a number that is alike on all machines.
const F_SETSIG: libc::c_int = 10;

const FOREVER: &str = "while :; do sleep 1000; done";

#[test]
fn a_new_agent_finds_what_runs_and_what_ended_meanwhile() {
    let runner = TestRunner::start(&[]);
    let mut first = runner.connect();
    first.start(runner.shell(driver(1), FOREVER));
    first.start(runner.shell(driver(2), "until [ -e go ]; do sleep 0.01; done; exit 7"));
    let pid = report_pid(&first.wait_running(driver(1)));
    first.wait_running(driver(2));
    drop(first);
    std::fs::write(runner.file("go"), "").unwrap();

    let mut second = runner.connect();
    let ended = second.wait_in_inventory(driver(2), |report| matches!(report.state, AttemptState::Ended(_)));
    assert_eq!(outcome(&ended), Outcome::exited(Exit::Code(7)));
    let inventory = second.inventory();
    assert_eq!(inventory.len(), 2);
    assert_eq!(
        (&inventory[0].state, inventory[0].pid),
        (&AttemptState::Running, Some(pid.as_raw_nonzero().get().unsigned_abs()))
    );
    assert!(is_alive(pid), "the process id is the machine's");
}

#[test]
fn an_end_is_reported_until_it_is_acknowledged_and_then_never_again() {
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect();
    agent.run(runner.shell(driver(1), "exit 7"));
    let mut agent = runner.connect();
    let inventory = agent.inventory();
    assert_eq!(inventory.len(), 1);
    let mut stale = inventory[0].clone();
    stale.sequence -= 1;
    agent.acknowledge(&stale);
    assert_eq!(agent.inventory().len(), 1, "the acknowledgement of an older report forgets nothing");
    agent.acknowledge(&inventory[0]);
    assert!(agent.inventory().is_empty());
    runner.crash();
    runner.launch();
    assert!(runner.connect().inventory().is_empty());
}

#[test]
fn a_start_of_a_known_attempt_is_answered_with_its_state() {
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect();
    let start = runner.shell(driver(1), "echo ran >> runs; exit 4");
    agent.run(start.clone());
    agent.reports.clear();
    assert_eq!(agent.run(start).exit, Exit::Code(4));
    assert_eq!(std::fs::read_to_string(runner.file("runs")).unwrap(), "ran\n");
}

#[test]
fn a_kill_that_comes_before_the_start_is_remembered() {
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect();
    agent.kill(driver(1), false);
    let killed = agent.wait_ended(driver(1));
    assert_eq!((killed.reason, killed.fault), (Reason::NeverStarted, Fault::User));
    agent.start(runner.shell(driver(1), "echo ran > ran"));
    agent.ping();
    assert_eq!(agent.wait_ended(driver(1)).reason, Reason::NeverStarted);
    assert!(!runner.file("ran").exists());
}

#[test]
fn what_was_accepted_and_not_started_ends_with_its_agent() {
    let runner = TestRunner::start(&[]);
    let mut first = runner.connect();
    first.send(&[ToRunner::Accept(accepted(driver(1))), ToRunner::Accept(accepted(driver(2)))]);
    first.wait(driver(1), |report| report.state == AttemptState::Accepted);
    let late = Outcome::without_exit(Fault::Platform, Reason::ArtifactFailed, "404");
    first.send(&[ToRunner::Abandon(driver(2), late.clone())]);
    assert_eq!(first.wait_ended(driver(2)), late);

    let mut second = runner.connect();
    let inventory = second.inventory();
    let never = outcome(&inventory[0]);
    assert_eq!((never.reason, never.fault), (Reason::NeverStarted, Fault::Platform));
    assert_eq!(outcome(&inventory[1]), late);
    assert!(first_is_cut(first), "the older connection is void");
}

fn first_is_cut(mut first: common::Agent) -> bool {
    while let Some(message) = first.next() {
        assert!(!matches!(message, ToAgent::Pong(_)));
    }
    true
}

#[test]
fn an_accepted_attempt_can_be_started_and_killed() {
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect();
    agent.send(&[ToRunner::Accept(accepted(driver(1))), ToRunner::Accept(accepted(driver(2)))]);
    assert!(agent.run(runner.shell(driver(1), "true")).is_success());
    let reason = KillReason::By(KilledBy::Drain);
    agent.send(&[ToRunner::Kill(Kill { attempt: driver(2), at_once: false, grace: None, reason })]);
    let killed = agent.wait_ended(driver(2));
    assert_eq!((killed.reason, killed.fault), (Reason::NeverStarted, Fault::Platform));
}

/// Only the leader of a session can acquire a controlling terminal.
#[test]
fn a_runner_leads_no_session_and_is_in_none_of_its_callers() {
    for arguments in [&[][..], &["--namespaces", "off"][..]] {
        let runner = TestRunner::start(arguments);
        let own = proc::stat(std::process::id() as i32).unwrap();
        let pid = runner.pid().as_raw_nonzero().get();
        let stat = proc::stat(pid).unwrap();
        assert_ne!(stat.session, own.session, "{arguments:?}");
        assert_ne!(stat.session, pid, "{arguments:?}");
    }
}

#[test]
fn two_runners_never_serve_one_directory() {
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect();
    let output = runner.try_launch();
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    agent.ping();
}

fn a_crash_of_the_runner_ends_all_it_ran(arguments: &[&str], name: &str) {
    let runner = TestRunner::start(arguments);
    let mut agent = runner.connect();
    let first = agent.hello.incarnation;
    let word = unique_word(name);
    let script = format!("setsid sh -c '{FOREVER}; : {word}' & echo > ready; {FOREVER}; : {word}");
    agent.start(runner.shell(driver(1), &script));
    agent.run(runner.shell(driver(2), "exit 6"));
    wait_until("it runs", || runner.file("ready").exists() && count_with_argument(&word) >= 2);
    agent.wait_running(driver(1));
    runner.crash();
    if agent.hello.capabilities.dies_with_runner {
        wait_until("the kernel has ended all", || count_with_argument(&word) == 0);
    }
    runner.launch();
    assert_eq!(count_with_argument(&word), 0, "nothing is left when the next runner serves");

    let mut agent = runner.connect();
    assert!(agent.hello.incarnation > first);
    let inventory = agent.inventory();
    assert_eq!(inventory.len(), 1, "what ran is lost; what had ended is not");
    assert_eq!((inventory[0].attempt, outcome(&inventory[0])), (driver(2), Outcome::exited(Exit::Code(6))));
    let report = inventory[0].clone();
    agent.acknowledge(&report);
    assert!(agent.inventory().is_empty());
    assert!(agent.run(runner.shell(driver(3), "true")).is_success());
}

#[test]
fn a_crash_ends_all_in_a_namespace() {
    a_crash_of_the_runner_ends_all_it_ran(&[], "crash-namespace");
}

#[test]
fn a_crash_without_namespaces_leaves_nothing_to_the_next_runner() {
    a_crash_of_the_runner_ends_all_it_ran(&["--namespaces", "off"], "crash-cgroup2");
}

#[test]
fn a_crash_with_the_freezer_leaves_nothing_to_the_next_runner() {
    a_crash_of_the_runner_ends_all_it_ran(&["--namespaces", "off", "--tree", "freezer"], "crash-freezer");
}

#[test]
fn a_crash_without_cgroups_leaves_nothing_to_the_next_runner() {
    a_crash_of_the_runner_ends_all_it_ran(&["--namespaces", "off", "--tree", "none"], "crash-marks");
}

#[test]
fn a_wiped_directory_leaves_nothing_to_the_next_runner() {
    let runner = TestRunner::start(&["--namespaces", "off"]);
    let mut agent = runner.connect();
    let word = unique_word("wiped");
    agent.start(runner.shell(driver(1), &format!("setsid sh -c '{FOREVER}; : {word}' & {FOREVER}; : {word}")));
    wait_until("it runs", || count_with_argument(&word) >= 2);
    runner.crash();
    std::fs::remove_dir_all(runner.state_dir()).unwrap();
    runner.launch();
    assert_eq!(count_with_argument(&word), 0);
    assert!(runner.connect().inventory().is_empty());
}

#[test]
fn a_directory_wiped_under_a_living_runner_is_taken_over() {
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect();
    // Without a cgroup nothing leads to the runner whose directory is gone.
    if lacks("cgroup2", agent.hello.capabilities.tree) {
        return;
    }
    let old = runner.pid();
    let word = unique_word("taken-over");
    agent.start(runner.shell(driver(1), &format!("{FOREVER}; : {word}")));
    agent.wait_running(driver(1));
    std::fs::remove_dir_all(runner.state_dir()).unwrap();
    runner.launch();
    assert!(!is_alive(old));
    assert_eq!(count_with_argument(&word), 0);
    assert!(runner.connect().run(runner.shell(driver(1), "true")).is_success());
}

#[test]
fn the_runner_outlives_who_started_it_and_its_terminal() {
    let runner = TestRunner::start(&[]);
    let pid = runner.pid();
    for signal in [Signal::INT, Signal::HUP, Signal::QUIT] {
        kill_process(pid, signal).unwrap();
    }
    assert!(runner.connect().run(runner.shell(driver(1), "true")).is_success());
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap();
    let terminal = stat.rsplit_once(") ").unwrap().1.split(' ').nth(4).unwrap();
    assert_eq!(terminal, "0", "no controlling terminal");
}

/// A later runner looks where its arguments say, which may not be where the earlier one's trees
/// are.
#[test]
fn a_runner_vouches_only_for_what_it_has_looked_for() {
    let vouches = |first: &[&str], then: &[&str]| {
        let mut runner = TestRunner::start(&[first, &["--namespaces", "off"]].concat());
        let mut agent = runner.connect();
        assert!(agent.hello.capabilities.earlier_ended, "nothing was before it");
        let before = agent.hello.capabilities.tree_method.clone();
        agent.start(runner.shell(driver(1), "sleep 1000 & sleep 1000"));
        agent.wait_running(driver(1));
        runner.crash();
        runner.set_arguments(&[then, &["--namespaces", "off"]].concat());
        runner.launch();
        let agent = runner.connect();
        let after = agent.hello.capabilities.tree_method.clone();
        let vouches = agent.hello.capabilities.earlier_ended;
        drop(agent);
        // What it does not look for is ended by a runner that does.
        runner.crash();
        runner.set_arguments(&[first, &["--namespaces", "off"]].concat());
        runner.launch();
        (before, after, vouches)
    };
    for ways in [V1, V2] {
        let (before, after, vouched) = vouches(ways, ways);
        assert_eq!(before, after);
        assert_eq!(vouched, before != "none", "{before}");
        let (before, _, vouched) = vouches(ways, &["--tree", "none"]);
        assert!(!vouched, "{before}, then none");
        let (_, after, vouched) = vouches(&["--tree", "none"], ways);
        assert!(!vouched, "none, then {after}");
    }
    let (before, after, vouched) = vouches(V1, V2);
    assert!(!vouched, "{before}, then {after}");
}

#[test]
fn a_runner_in_a_namespace_of_its_own_takes_all_along() {
    let runner = TestRunner::start(NONE);
    let mut agent = runner.connect();
    if lacks("pid-namespace", agent.hello.capabilities.dies_with_runner) {
        return;
    }
    agent.start(runner.shell(driver(1), "setsid env -i sleep 1000 & sleep 1000"));
    agent.wait_running(driver(1));
    runner.crash();
    runner.launch();
    assert!(runner.connect().hello.capabilities.earlier_ended);
}

#[test]
fn a_program_cannot_end_its_runner() {
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect();
    if lacks("pid-namespace", agent.hello.capabilities.dies_with_runner) {
        return;
    }
    let script = "kill -TERM $PPID; kill -KILL $PPID; kill -TERM 1; exit 0";
    assert!(agent.run(runner.shell(driver(1), script)).is_success());
    assert!(agent.run(runner.shell(driver(2), "true")).is_success());
}

#[test]
fn a_shutdown_ends_everything_politely_and_remembers_it() {
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect();
    let pid = runner.pid();
    agent.start(runner.shell(driver(1), "trap 'exit 5' TERM; echo > ready; while :; do sleep 0.01; done"));
    agent.start(runner.shell(driver(2), "trap '' TERM; echo > deaf; while :; do sleep 0.01; done"));
    wait_until("they run", || runner.file("ready").exists() && runner.file("deaf").exists());
    agent.send(&[ToRunner::Shutdown(Duration::from_millis(200))]);
    let polite = agent.wait_ended(driver(1));
    assert_eq!((polite.exit, polite.reason, polite.fault), (Exit::Code(5), Reason::Killed, Fault::Platform));
    assert_eq!(agent.wait_ended(driver(2)).exit, Exit::Signal(9));
    wait_until("it has ended", || !is_alive(pid));
    runner.launch();
    assert_eq!(runner.connect().inventory().len(), 2);
}

#[test]
fn a_term_signal_ends_everything_too() {
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect();
    let pid = runner.pid();
    agent.start(runner.shell(driver(1), "trap 'exit 5' TERM; echo > ready; while :; do sleep 0.01; done"));
    wait_until("it runs", || runner.file("ready").exists());
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(agent.wait_ended(driver(1)).exit, Exit::Code(5));
    wait_until("it has ended", || !is_alive(pid));
}

#[test]
fn what_comes_during_a_shutdown_is_refused_and_does_not_hold_it_up() {
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect();
    let pid = runner.pid();
    let script = "trap 'echo > asked' TERM; echo > ready; until [ -e go ]; do sleep 0.01; done";
    agent.start(runner.shell(driver(1), script));
    wait_until("it runs", || runner.file("ready").exists());
    kill_process(pid, Signal::TERM).unwrap();
    wait_until("the shutdown has begun", || runner.file("asked").exists());
    // Accepted, and never started: its artifacts are still being fetched.
    agent.send(&[ToRunner::Accept(accepted(driver(2)))]);
    assert_eq!(agent.wait_ended(driver(2)).reason, Reason::Refused);
    std::fs::write(runner.file("go"), "").unwrap();
    agent.wait_ended(driver(1));
    wait_until("it has ended", || !is_alive(pid));
}

#[test]
fn strays_are_reaped() {
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect();
    // Each `true` loses its parent at once and becomes the runner's child.
    let script = "for i in $(seq 50); do (true &); done; echo > made; until [ -e go ]; do sleep 0.01; done; exit 3";
    agent.start(runner.shell(driver(1), script));
    wait_until("they were made", || runner.file("made").exists());
    let pid = runner.pid();
    wait_until("none is left", || zombies_of(pid.as_raw_nonzero().get()) == 0);
    std::fs::write(runner.file("go"), "").unwrap();
    assert_eq!(agent.wait_ended(driver(1)).exit, Exit::Code(3));
}

/// Whether a child waits in the kernel for the other end of a pipe.
/// A program that nothing can execute while this lives, as on a path that cannot be reached: the
/// kernel waits until whoever holds a lease on the file gives it back.
struct HeldProgram {
    path: std::path::PathBuf,
    _held: std::fs::File,
}

impl HeldProgram {
    #[expect(unsafe_code, reason = "the library has no call for leases")]
    fn new(runner: &TestRunner) -> HeldProgram {
        let path = runner.file("held");
        std::fs::copy("/bin/true", &path).unwrap();
        let held = std::fs::File::options().write(true).open(&path).unwrap();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&held);
        // SAFETY: numbers. The signal that asks for the lease is one that does nothing.
        unsafe {
            assert_eq!(libc::fcntl(fd, F_SETSIG, libc::SIGURG), 0);
            assert_eq!(libc::fcntl(fd, libc::F_SETLEASE, libc::F_WRLCK), 0);
        }
        HeldProgram { path, _held: held }
    }

    fn start(&self, runner: &TestRunner, key: AttemptKey) -> Start {
        runner.program(key, self.path.to_str().unwrap(), &[])
    }

    /// How many children of the runner wait for it.
    fn waiting(runner: &TestRunner) -> usize {
        let parent = runner.pid().as_raw_nonzero().get().to_string();
        let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        entries
            .map(|entry| entry.path())
            .filter(|process| {
                let stat = std::fs::read_to_string(process.join("stat")).unwrap_or_default();
                let is_child = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)) == Some(&parent);
                is_child && std::fs::read_to_string(process.join("wchan")).unwrap_or_default().contains("break_lease")
            })
            .count()
    }
}

fn zombies_of(parent: i32) -> usize {
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(Result::ok)
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok())
        .filter(|stat| {
            let mut fields = stat.rsplit_once(") ").unwrap().1.split(' ');
            fields.next() == Some("Z") && fields.next() == Some(&parent.to_string())
        })
        .count()
}

fn a_hang_of_one_start_does_not_stop_the_rest(arguments: &[&str]) {
    let runner = TestRunner::start(arguments);
    let mut agent = runner.connect();
    agent.start(runner.shell(driver(1), FOREVER));
    agent.wait_running(driver(1));
    let held = HeldProgram::new(&runner);
    agent.start(held.start(&runner, driver(2)));
    agent.kill(driver(1), true);
    assert_eq!(agent.wait_ended(driver(1)).exit, Exit::Signal(9));
    // A start that is killed before its turn has never started; that case is not meant here.
    wait_until("the second hangs", || HeldProgram::waiting(&runner) == 1);
    agent.kill(driver(2), true);
    assert_eq!(agent.wait_ended(driver(2)).reason, Reason::Killed);
    assert!(agent.run(runner.shell(driver(3), "true")).is_success());
}

#[test]
fn a_hang_of_one_start_does_not_stop_the_rest_with_cgroups() {
    a_hang_of_one_start_does_not_stop_the_rest(&[]);
}

/// There are two threads that start processes, at first.
#[test]
fn hangs_of_many_starts_do_not_stop_the_rest() {
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect();
    let held = HeldProgram::new(&runner);
    let hanging: Vec<_> = (1..=5).map(driver).collect();
    for key in &hanging {
        agent.start(held.start(&runner, *key));
    }
    assert!(agent.run(runner.shell(driver(6), "true")).is_success());
    // Threads are added as they are needed, so the last of them may hang after that one has ended.
    wait_until("all of them hang", || HeldProgram::waiting(&runner) == hanging.len());
    for key in hanging {
        agent.kill(key, true);
        assert_eq!(agent.wait_ended(key).reason, Reason::Killed);
    }
}

/// The process that is being started has copies of all descriptors.
#[test]
fn a_connection_that_ends_while_a_start_hangs_wakes_nobody_for_ever() {
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect();
    let held = HeldProgram::new(&runner);
    agent.start(held.start(&runner, driver(1)));
    wait_until("it hangs", || HeldProgram::waiting(&runner) == 1);
    drop(agent);
    let wake_ups = || {
        let path = format!("/proc/{}/status", runner.pid().as_raw_nonzero());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
        line.trim().parse::<u64>().unwrap()
    };
    let before = wake_ups();
    std::thread::sleep(Duration::from_secs(1));
    // A loop that always finds something ready wakes up thousands of times.
    assert!(wake_ups() - before < 300, "{} wake-ups", wake_ups() - before);
    drop(held);
    assert!(runner.connect().run(runner.shell(driver(2), "true")).is_success());
}

/// A program that runs as the same user can put anything where another's output will be.
#[test]
fn an_output_that_is_no_regular_file_is_refused_at_once() {
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect();
    let pipe = runner.file("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let (link, other) = (runner.file("link"), runner.file("other"));
    std::fs::write(&other, "other").unwrap();
    std::os::unix::fs::symlink(&other, &link).unwrap();
    for (number, path) in [(1, "/dev/full".into()), (2, pipe.clone()), (3, link)] {
        let mut start = runner.shell(driver(number), "echo written");
        start.program.stdout = path.to_str().unwrap().to_owned();
        assert_eq!(agent.run(start).reason, Reason::WorkDirFailed, "{}", path.display());
    }
    // Its other end is there, so that nothing waits for it.
    let _reader = std::fs::File::options().read(true).write(true).open(&pipe).unwrap();
    let mut start = runner.shell(driver(4), "echo written");
    start.program.stderr = pipe.to_str().unwrap().to_owned();
    assert_eq!(agent.run(start).reason, Reason::WorkDirFailed);
    assert_eq!(std::fs::read(other).unwrap(), b"other");
}

/// A process that has not executed carries no mark yet.
#[test]
fn a_hang_of_one_start_does_not_stop_the_rest_without_cgroups() {
    a_hang_of_one_start_does_not_stop_the_rest(NONE);
}

#[test]
fn a_full_disk_delays_a_report_and_loses_none() {
    let Some(disk) = SmallDisk::mount(9 << 10) else { return };
    let runner = TestRunner::start_in(disk.path());
    let mut agent = runner.connect();
    agent.start(runner.shell(driver(0), "until [ -e go ]; do sleep 0.01; done; exit 9"));
    agent.wait_running(driver(0));
    disk.fill(0);

    // Attempts come and go until the journal is full and cannot be begun anew. Then nothing is
    // answered that must be on record first.
    let mut number = 1;
    while agent.is_answered(Duration::from_millis(500)) {
        for _ in 0..500 {
            agent.send(&came_and_went(driver(number)));
            number += 1;
        }
        assert!(number < 100_000, "the journal is bounded");
    }
    std::fs::write(runner.file("go"), "").unwrap();
    assert!(!agent.is_answered(Duration::from_millis(500)));
    assert!(!agent.has_ended(driver(0)), "nothing is said before it is on record");

    disk.make_room();
    assert_eq!(agent.wait_ended(driver(0)), Outcome::exited(Exit::Code(9)));
    runner.crash();
    runner.launch();
    let inventory = runner.connect().inventory();
    assert_eq!(inventory.len(), 1, "what was closed is forgotten, and nothing else");
    assert_eq!(outcome(&inventory[0]).exit, Exit::Code(9));
}

/// An attempt that is accepted, given up, and acknowledged.
fn came_and_went(key: muster_types::AttemptKey) -> [ToRunner; 3] {
    let given_up = Outcome::without_exit(Fault::Platform, Reason::ArtifactFailed, "x".repeat(1000));
    let closed = muster_types::Acknowledgement { attempt: key, sequence: 2 };
    [ToRunner::Accept(accepted(key)), ToRunner::Abandon(key, given_up), ToRunner::Closed(closed)]
}
