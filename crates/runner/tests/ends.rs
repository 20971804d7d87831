//! How processes end, and what is reported of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod common;

use std::time::Duration;

use common::{NONE, TestRunner, count_with_argument, driver, unique_word, wait_until, with_grace};
use muster_types::{AttemptState, Exit, Fault, Outcome, Reason};

#[test]
fn exit_codes_and_signals_are_the_true_ones() {
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect();
    assert_eq!(agent.run(runner.shell(driver(1), "exit 0")), Outcome::exited(Exit::Code(0)));
    assert_eq!(agent.run(runner.shell(driver(2), "exit 42")), Outcome::exited(Exit::Code(42)));
    assert_eq!(agent.run(runner.shell(driver(3), "kill -SEGV $$")), Outcome::exited(Exit::Signal(11)));
}

#[test]
fn a_program_gets_its_arguments_environment_directory_and_files() {
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect();
    let script = r#"pwd; echo "$1"; echo "$DIR"; env | wc -l; cat; echo wrong >&2"#;
    let start = runner.program(driver(1), "sh", &["-c", script, "name", "an argument"]);
    assert!(agent.run(start).is_success());
    let dir = runner.dir.path().to_str().unwrap().to_owned();
    let stdout = std::fs::read_to_string(runner.file("stdout")).unwrap();
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines[..3], [dir.as_str(), "an argument", dir.as_str()]);
    assert!(lines[3].trim().parse::<u32>().unwrap() <= 5, "nothing is inherited: {stdout}");
    assert_eq!(std::fs::read_to_string(runner.file("stderr")).unwrap(), "wrong\n");
    assert!(agent.run(runner.shell(driver(2), "echo more")).is_success());
    assert!(std::fs::read_to_string(runner.file("stdout")).unwrap().ends_with("more\n"), "output is appended");
}

#[test]
fn a_program_starts_with_default_signals_in_its_own_session() {
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect();
    let script =
        "grep -E '^Sig(Blk|Ign)' /proc/self/status; cut -d' ' -f 5,6 /proc/$$/stat; echo $$; ls /proc/self/fd | wc -l";
    assert!(agent.run(runner.shell(driver(1), script)).is_success());
    let stdout = std::fs::read_to_string(runner.file("stdout")).unwrap();
    let lines: Vec<&str> = stdout.lines().collect();
    assert!(lines[0].ends_with("0000000000000000"), "{stdout}");
    assert!(lines[1].ends_with("0000000000000000"), "{stdout}");
    assert_eq!(lines[2], format!("{0} {0}", lines[3]), "leader of its group and session");
    assert_eq!(lines[4].trim(), "4", "the three streams, and the one of ls");
}

/// Through a link that a program makes there, a child would enter what the runner has open.
#[test]
fn no_work_directory_is_reached_through_the_runners_descriptors() {
    let runner = TestRunner::start(NONE);
    let mut agent = runner.connect();
    let link = runner.file("link");
    for fd in 3..40_u32 {
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(format!("/proc/self/fd/{fd}"), &link).unwrap();
        let mut start = runner.shell(driver(fd), "true");
        start.program.work_dir = link.to_str().unwrap().to_owned();
        assert_eq!(agent.run(start).reason, Reason::WorkDirFailed, "descriptor {fd}");
    }
}

#[test]
fn what_cannot_be_executed_says_why() {
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect();
    std::fs::write(runner.file("text"), "not a program").unwrap();
    let reasons = [
        (runner.program(driver(1), "/does/not/exist", &[]), Reason::NotFound, Fault::Program),
        (runner.program(driver(2), "no-such-name", &[]), Reason::NotFound, Fault::Program),
        (runner.program(driver(3), "./text", &[]), Reason::NotExecutable, Fault::Program),
        (runner.program(driver(4), "/", &[]), Reason::NotExecutable, Fault::Program),
    ];
    for (start, reason, fault) in reasons {
        let outcome = agent.run(start);
        assert_eq!((outcome.exit, outcome.reason, outcome.fault), (Exit::None, reason, fault), "{outcome:?}");
    }
    let mut start = runner.shell(driver(5), "true");
    start.program.work_dir = "/does/not/exist".into();
    assert_eq!(agent.run(start).reason, Reason::WorkDirFailed);
    let mut start = runner.shell(driver(6), "true");
    start.program.stdout = "/does/not/exist".into();
    assert_eq!(agent.run(start).reason, Reason::WorkDirFailed);
}

fn what_a_program_leaves_is_ended_before_its_exit_is_reported(arguments: &[&str], word: &str) {
    let runner = TestRunner::start(arguments);
    let mut agent = runner.connect();
    let word = unique_word(word);
    let script = format!("sh -c 'trap \"\" TERM; sleep 1000; : {word}' & setsid sh -c 'sleep 1000; : {word}' & exit 3");
    let outcome = agent.run(runner.shell(driver(1), &script));
    assert_eq!(count_with_argument(&word), 0, "nothing is left when the exit is told");
    assert_eq!(outcome, Outcome::exited(Exit::Code(3)));
}

#[test]
fn what_a_program_leaves_is_ended_with_cgroup2() {
    what_a_program_leaves_is_ended_before_its_exit_is_reported(&["--tree", "cgroup2"], "left2");
}

#[test]
fn what_a_program_leaves_is_ended_with_the_freezer() {
    what_a_program_leaves_is_ended_before_its_exit_is_reported(&["--tree", "freezer"], "left1");
}

#[test]
fn what_a_program_leaves_is_ended_without_cgroups() {
    what_a_program_leaves_is_ended_before_its_exit_is_reported(NONE, "left0");
}

fn a_kill_ends_what_left_its_session_and_its_parent(arguments: &[&str], word: &str) {
    let runner = TestRunner::start(arguments);
    let mut agent = runner.connect();
    let word = unique_word(word);
    let ready = runner.file("ready");
    let script = format!(
        "(setsid sh -c '(trap \"\" TERM; echo > ready; while :; do sleep 1; done; : {word}) &' &) ; while :; do sleep 1; done; : {word}"
    );
    agent.start(runner.shell(driver(1), &script));
    wait_until("the daemon runs", || ready.exists());
    agent.kill(driver(1), false);
    let outcome = agent.wait_ended(driver(1));
    assert_eq!(count_with_argument(&word), 0);
    assert_eq!((outcome.exit, outcome.reason, outcome.fault), (Exit::Signal(15), Reason::Killed, Fault::User));
}

#[test]
fn a_kill_ends_daemons_with_cgroup2() {
    a_kill_ends_what_left_its_session_and_its_parent(&["--tree", "cgroup2"], "daemon2");
}

#[test]
fn a_kill_ends_daemons_with_the_freezer() {
    a_kill_ends_what_left_its_session_and_its_parent(&["--tree", "freezer"], "daemon1");
}

#[test]
fn a_kill_ends_daemons_without_cgroups() {
    a_kill_ends_what_left_its_session_and_its_parent(NONE, "daemon0");
}

fn a_fork_bomb_is_gone_after_a_kill(arguments: &[&str], word: &str) {
    let runner = TestRunner::start(arguments);
    let mut agent = runner.connect();
    let word = unique_word(word);
    // It is bounded in case containment fails: each process starts two children, eight deep, and
    // lives on.
    let bomb = runner.file("bomb");
    let text = format!(
        "#!/bin/sh\n: {word}\ntrap '' TERM\n[ $1 -gt 7 ] || for i in 1 2; do setsid sh $0 $(($1+1)) {word} & done\nwhile :; do sleep 1; done\n"
    );
    std::fs::write(&bomb, text).unwrap();
    agent.start(runner.program(driver(1), "/bin/sh", &[bomb.to_str().unwrap(), "0", &word]));
    wait_until("it grows", || count_with_argument(&word) > 20);
    agent.kill(driver(1), true);
    assert_eq!(agent.wait_ended(driver(1)).exit, Exit::Signal(9));
    assert_eq!(count_with_argument(&word), 0);
}

#[test]
fn a_fork_bomb_is_gone_with_cgroup2() {
    a_fork_bomb_is_gone_after_a_kill(&["--tree", "cgroup2"], "bomb2");
}

#[test]
fn a_fork_bomb_is_gone_with_the_freezer() {
    a_fork_bomb_is_gone_after_a_kill(&["--tree", "freezer"], "bomb1");
}

#[test]
fn who_ignores_term_is_killed_after_its_grace() {
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect();
    let script = "trap '' TERM; echo > ready; while :; do sleep 1; done";
    agent.start(with_grace(runner.shell(driver(1), script), Duration::from_millis(300)));
    wait_until("it runs", || runner.file("ready").exists());
    agent.wait_running(driver(1));
    let begin = std::time::Instant::now();
    agent.kill(driver(1), false);
    agent.wait(driver(1), |report| report.state == AttemptState::Killing { wait_channel: None });
    let outcome = agent.wait_ended(driver(1));
    assert!(begin.elapsed() >= Duration::from_millis(300));
    assert_eq!((outcome.exit, outcome.reason), (Exit::Signal(9), Reason::Killed));
}

#[test]
fn who_obeys_term_ends_by_itself() {
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect();
    let script = "trap 'exit 5' TERM; echo > ready; while :; do sleep 0.01; done";
    agent.start(runner.shell(driver(1), script));
    wait_until("it runs", || runner.file("ready").exists());
    agent.kill(driver(1), false);
    let outcome = agent.wait_ended(driver(1));
    assert_eq!((outcome.exit, outcome.reason, outcome.fault), (Exit::Code(5), Reason::Killed, Fault::User));
}

#[test]
fn a_kill_hastens_an_earlier_one_and_keeps_its_reason() {
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect();
    agent.start(runner.shell(driver(1), "trap '' TERM; echo > ready; while :; do sleep 1; done"));
    wait_until("it runs", || runner.file("ready").exists());
    agent.kill(driver(1), false);
    agent.wait(driver(1), |report| matches!(report.state, AttemptState::Killing { .. }));
    agent.kill(driver(1), true);
    let outcome = agent.wait_ended(driver(1));
    assert_eq!((outcome.exit, outcome.fault), (Exit::Signal(9), Fault::User));
}

fn hundreds_run_at_once(arguments: &[&str]) {
    let runner = TestRunner::start(arguments);
    let mut agent = runner.connect();
    for number in 0..300 {
        agent.start(runner.shell(driver(number), "while :; do sleep 1000; done"));
    }
    for number in 0..300 {
        agent.wait_running(driver(number));
    }
    for number in 0..300 {
        agent.kill(driver(number), true);
    }
    for number in 0..300 {
        assert_eq!(agent.wait_ended(driver(number)).exit, Exit::Signal(9));
    }
    assert_eq!(agent.inventory().len(), 300);
}

#[test]
fn hundreds_run_at_once_with_cgroups() {
    hundreds_run_at_once(&[]);
}

/// Each tree is looked for among all processes.
#[test]
fn hundreds_run_at_once_without_cgroups() {
    hundreds_run_at_once(NONE);
}
