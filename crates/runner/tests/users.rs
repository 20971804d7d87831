//! Programs that run as another user than the runner: what they are, and what they cannot reach.
//! These tests need root, and Python to make system calls.

mod common;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use common::*;
use muster_agent::runner_protocol::Limits;
use muster_types::{Exit, Fault, Outcome, Reason};

/// Another user than [`USER`].
const OTHER: u32 = 65_533;

/// A runner for programs of users, unless the machine lets none become another user.
fn runner(arguments: &[&str]) -> Option<(TestRunner, Agent)> {
    if lacks("root", rustix::process::geteuid().is_root()) {
        return None;
    }
    let runner = TestRunner::start_for_users(arguments);
    let agent = runner.connect();
    assert!(agent.hello.capabilities.own_users, "root can start programs as another user");
    Some((runner, agent))
}

/// Runs a script of Python as [`USER`] and returns what it printed.
fn python(runner: &TestRunner, agent: &mut Agent, number: u32, script: &str) -> String {
    let key = driver(number);
    let mut start = runner.start_as(USER, key, "");
    start.program.program = "/usr/bin/python3".into();
    start.program.args = vec!["-c".into(), format!("import os, socket, ctypes, resource\n{script}")];
    let outcome = agent.run(start);
    let said = std::fs::read_to_string(runner.file(&format!("{key}.err"))).unwrap_or_default();
    assert_eq!(outcome, Outcome::exited(Exit::Code(0)), "{said}");
    runner.output(key)
}

#[test]
fn a_program_is_its_user_and_nothing_more() {
    let Some((runner, mut agent)) = runner(&[]) else { return };
    let script = "id -u; id -g; id -G; umask; ulimit -c; ulimit -Hn; pwd; \
                  grep -E '^(Uid|Gid|Cap(Inh|Prm|Eff|Amb)|NoNewPrivs)' /proc/self/status";
    let outcome = agent.run(runner.start_as(USER, driver(1), script));
    assert_eq!(outcome, Outcome::exited(Exit::Code(0)));
    let output = runner.output(driver(1));
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(&lines[..5], ["65534", "65534", "65534", "0027", "0"], "{output}");
    assert!(lines[5].parse::<u64>().expect("a limit") <= 65_536, "{output}");
    assert_eq!(Path::new(lines[6]), runner.file("work"));
    for line in &lines[7..] {
        let (name, values) = line.split_once(':').expect("a field");
        let wanted = match name {
            "Uid" | "Gid" => "65534",
            "NoNewPrivs" => "1",
            _ => "0000000000000000",
        };
        assert!(values.split_whitespace().all(|value| value == wanted), "{line}");
    }
}

#[test]
fn nothing_runs_as_root_unless_the_runner_was_told() {
    let Some((runner, mut agent)) = runner(&[]) else { return };
    let root = agent.run(runner.start_as(0, driver(1), "id"));
    let unnamed = agent.run(runner.shell(driver(2), "id"));
    let no_change = agent.run(runner.start_as(u32::MAX, driver(3), "id"));
    for outcome in [&root, &unnamed, &no_change] {
        assert_eq!((outcome.reason, outcome.fault), (Reason::Refused, Fault::Platform), "{outcome:?}");
    }
    assert_eq!(no_change.message, "its user is none");
    assert!(!runner.file("stdout").exists(), "nothing was started");
}

#[test]
fn a_program_has_three_descriptors() {
    let Some((runner, mut agent)) = runner(&[]) else { return };
    // The fourth is the listing's own.
    let listed = python(&runner, &mut agent, 1, "print(sorted(int(fd) for fd in os.listdir('/proc/self/fd')))");
    assert_eq!(listed.trim(), "[0, 1, 2, 3]");
}

#[test]
fn a_program_opens_as_many_descriptors_as_it_may_and_harms_nobody() {
    let Some((runner, mut agent)) = runner(&[]) else { return };
    let script = "resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)\n\
                  held = []\n\
                  try:\n  \
                    while len(held) < 200000: held.append(os.dup(0))\n\
                  except OSError as error: print(error.errno, len(held))";
    let output = python(&runner, &mut agent, 1, script);
    let (errno, count) = output.trim().split_once(' ').expect("an end");
    assert_eq!(errno, "24", "EMFILE");
    assert!(count.parse::<u32>().expect("a count") < 65_536, "{output}");
    assert_eq!(agent.run(runner.start_as(USER, driver(2), "true")), Outcome::exited(Exit::Code(0)));
}

#[test]
fn a_program_can_neither_see_nor_trace_nor_speak_to_its_runner() {
    let Some((runner, mut agent)) = runner(&[]) else { return };
    let socket = runner.state_dir().join("runner.sock");
    let pid = runner.pid().as_raw_nonzero();
    let script = format!(
        "libc = ctypes.CDLL(None, use_errno=True)\n\
         for pid in (1, {pid}):\n  \
           for name in ('environ', 'mem', 'fd', 'maps'):\n    \
             try:\n      \
               found = os.listdir(f'/proc/{{pid}}/fd') if name == 'fd' else open(f'/proc/{{pid}}/{{name}}', 'rb').read(1)\n      \
               if int(open(f'/proc/{{pid}}/stat').read().split()[0]) != os.getpid(): print('read', pid, name)\n    \
             except OSError: pass\n\
         if libc.ptrace(16, 1, 0, 0) == 0: print('traced')\n\
         try: os.kill(1, 9); print('killed')\n\
         except PermissionError: pass\n\
         try: socket.socket(socket.AF_UNIX).connect('{}'); print('connected')\n\
         except OSError: pass",
        socket.display()
    );
    assert_eq!(python(&runner, &mut agent, 1, &script), "");
    agent.ping();
}

/// A program of root's, which the permissions of a path do not keep out.
#[test]
fn the_socket_takes_nobody_from_within_the_runners_namespace() {
    if lacks("root", rustix::process::geteuid().is_root()) {
        return;
    }
    let runner = TestRunner::start(&[]);
    let mut agent = runner.connect();
    if lacks("pid-namespace", agent.hello.capabilities.dies_with_runner) {
        return;
    }
    // A ping, which is answered before there is a hello, if only with a refusal.
    let script = format!(
        "exec /usr/bin/python3 -c \"import socket; s = socket.socket(socket.AF_UNIX); s.connect('{}')\n\
         try: s.sendall(bytes([2, 0, 0, 0, 72, 1])); print(len(s.recv(64)))\n\
         except ConnectionError: print(0)\"",
        runner.state_dir().join("runner.sock").display()
    );
    assert_eq!(agent.run(runner.shell(driver(1), &script)), Outcome::exited(Exit::Code(0)));
    assert_eq!(std::fs::read_to_string(runner.file("stdout")).expect("written").trim(), "0");
}

#[test]
fn a_user_does_not_see_the_processes_of_another() {
    let Some((runner, mut agent)) = runner(&[]) else { return };
    if lacks("pid-namespace", agent.hello.capabilities.dies_with_runner) {
        return;
    }
    agent.start(runner.start_as(OTHER, driver(1), "SECRET=hunter2 exec sleep 600"));
    agent.wait_running(driver(1));
    let script =
        "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr '\\0' '\\n' | grep -c -e 'hunter[2]' -e '^sleep$'; true";
    agent.run(runner.start_as(USER, driver(2), script));
    assert_eq!(runner.output(driver(2)).trim(), "0");
    let script = "tr '\\0' '\\n' < /proc/$PPID/cmdline; cat /proc/1/comm; ls -d /proc/[0-9]* | wc -l";
    agent.run(runner.start_as(USER, driver(3), script));
    assert!(!runner.output(driver(3)).contains("runner"), "{}", runner.output(driver(3)));
}

#[test]
fn a_kill_of_everything_reaches_the_users_own_alone() {
    let Some((runner, mut agent)) = runner(&[]) else { return };
    // Where there is no namespace, everything of that user on the machine would be reached.
    if lacks("pid-namespace", agent.hello.capabilities.dies_with_runner) {
        return;
    }
    agent.start(runner.start_as(OTHER, driver(1), "exec sleep 600"));
    agent.start(runner.start_as(USER, driver(2), "exec sleep 600"));
    agent.wait_running(driver(1));
    agent.wait_running(driver(2));
    agent.run(runner.start_as(USER, driver(3), "kill -9 -1; exit 0"));
    assert_eq!(agent.wait_ended(driver(2)).exit, Exit::Signal(9));
    agent.ping();
    assert!(!agent.has_ended(driver(1)), "another user's goes on");
    assert_eq!(agent.run(runner.start_as(USER, driver(4), "true")), Outcome::exited(Exit::Code(0)));
}

#[test]
fn a_program_that_forks_without_end_is_limited() {
    let Some((runner, mut agent)) = runner(&[]) else { return };
    if lacks("process-limits", agent.hello.capabilities.pids_limit) {
        return;
    }
    let script = "/usr/bin/python3 -c '\nimport os, time\ntry:\n  while True:\n    if os.fork() == 0: time.sleep(600)\n\
                  except BlockingIOError: print(\"limited\", flush=True)\n'";
    let mut start = runner.start_as(USER, driver(1), script);
    start.limits = Limits { pids: Some(32), ..Limits::default() };
    agent.run(start);
    assert_eq!(runner.output(driver(1)).trim(), "limited");
    assert_eq!(agent.run(runner.start_as(USER, driver(2), "true")), Outcome::exited(Exit::Code(0)));
}

#[test]
fn a_file_gives_no_right_that_its_user_has_not() {
    let Some((runner, mut agent)) = runner(&[]) else { return };
    let program = runner.file("setuid");
    std::fs::copy("/usr/bin/id", &program).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o6755)).unwrap();
    agent.run(runner.start_as(USER, driver(1), &format!("{} -u", program.display())));
    assert_eq!(runner.output(driver(1)).trim(), "65534");
}

/// The bounding set is not emptied for that: a privilege that no file can give needs no bound.
#[test]
fn the_capabilities_of_a_file_are_given_to_nobody() {
    let Some((runner, mut agent)) = runner(&[]) else { return };
    let program = runner.file("capable");
    std::fs::copy("/usr/bin/cat", &program).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    // The second version of the attribute, effective at once, with CAP_CHOWN to CAP_SETUID, of
    // which the machine that the test runs on has all.
    let attribute: Vec<u8> = [0x0200_0001_u32, 0xff, 0, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
    let done = rustix::fs::setxattr(&program, "security.capability", &attribute, rustix::fs::XattrFlags::empty());
    done.expect("root gives a file capabilities");
    let script = format!("{} /proc/self/status", program.display());
    assert_eq!(agent.run(runner.start_as(USER, driver(1), &script)), Outcome::exited(Exit::Code(0)));
    let output = runner.output(driver(1));
    for name in ["CapPrm:", "CapEff:"] {
        let line = output.lines().find(|line| line.starts_with(name)).expect("a field");
        assert!(line.ends_with("0000000000000000"), "{line}");
    }
}

#[test]
fn a_log_is_its_users_and_stays_where_it_is() {
    let Some((runner, mut agent)) = runner(&[]) else { return };
    let log = runner.file(&format!("{}.out", driver(1)));
    let script = format!(
        "echo one > /dev/stdout; echo two >> /dev/stdout; rm -f {log}; ln -sf /etc/passwd {log}; mv {log} elsewhere; \
         ln {log} second; echo three",
        log = log.display()
    );
    agent.run(runner.start_as(USER, driver(1), &script));
    let found = std::fs::symlink_metadata(&log).expect("it is there");
    assert!(found.is_file());
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (USER, USER, 0o640));
    assert!(runner.output(driver(1)).ends_with("three\n"), "{}", runner.output(driver(1)));
}

#[test]
fn a_file_with_a_second_name_is_given_to_nobody() {
    let Some((runner, mut agent)) = runner(&[]) else { return };
    let secret = runner.file("secret");
    std::fs::write(&secret, "mine").unwrap();
    let start = runner.start_as(USER, driver(1), "true");
    std::fs::hard_link(&secret, &start.program.stdout).unwrap();
    let outcome = agent.run(start);
    assert_eq!(outcome.reason, Reason::WorkDirFailed, "{outcome:?}");
    assert_eq!(secret.metadata().unwrap().uid(), 0);
}

#[test]
fn a_directory_is_entered_as_the_user() {
    let Some((runner, mut agent)) = runner(&[]) else { return };
    let closed = runner.file("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
    let mut start = runner.start_as(USER, driver(1), "true");
    start.program.work_dir = closed.to_str().unwrap().to_owned();
    assert_eq!(agent.run(start).reason, Reason::WorkDirFailed);
}

/// The change of user takes away what has the kernel end a process with its parent.
#[test]
fn a_program_of_a_user_ends_with_a_runner_without_a_namespace() {
    let Some((runner, mut agent)) = runner(&["--namespaces", "off"]) else { return };
    agent.start(runner.start_as(USER, driver(1), "exec sleep 600"));
    let pid = report_pid(&agent.wait_running(driver(1)));
    runner.crash();
    wait_until("the program is gone", || !is_alive(pid));
}

#[test]
fn a_runner_of_an_ordinary_user_says_that_it_has_no_other() {
    if lacks("root", rustix::process::geteuid().is_root()) {
        return;
    }
    let launcher = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let runner = TestRunner::start_by(&launcher, &["--tree", "none", "--namespaces", "off"]);
    let mut agent = runner.connect();
    assert!(!agent.hello.capabilities.own_users);
    assert_eq!(agent.run(runner.shell(driver(1), "true")), Outcome::exited(Exit::Code(0)));
    let other = agent.run(runner.start_as(OTHER, driver(2), "true"));
    assert_eq!((other.exit, other.fault), (Exit::None, Fault::Platform), "it is not run as the runner's own");
}
