//! The agent is spared and scheduled first, as far as the machine permits, and the runner that it
//! starts has the values with which the agent was started.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Long enough for a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the agent is started with; the OOM score is added to that of the test.
const NICE: i64 = 3;
const OOM_MORE: i64 = 100;

/// Plays the runner: it writes down what it has inherited.
const RUNNER: &str = "#!/bin/sh
cat /proc/self/oom_score_adj > seen.new
cut -d ' ' -f 19 /proc/self/stat >> seen.new
mv seen.new seen
while test -e seen; do sleep 0.02; done
";

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn number(path: &str) -> i64 {
    fs::read_to_string(path).unwrap().trim().parse().unwrap()
}

fn nice(stat: &str) -> i64 {
    let stat = fs::read_to_string(stat).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(16).unwrap().parse().unwrap()
}

/// Whether a process of the machine has this path among its arguments.
fn is_argument(path: &Path) -> bool {
    let path = path.as_os_str().as_encoded_bytes();
    let has = |line: Vec<u8>| line.windows(path.len()).any(|part| part == path);
    fs::read_dir("/proc").unwrap().flatten().any(|entry| fs::read(entry.path().join("cmdline")).is_ok_and(has))
}

#[test]
fn the_agent_is_protected_and_what_it_starts_is_not() {
    let own = number("/proc/self/oom_score_adj");
    let root = tempfile::tempdir().unwrap();
    let runner = root.path().join("runner");
    fs::write(&runner, RUNNER).unwrap();
    fs::set_permissions(&runner, fs::Permissions::from_mode(0o755)).unwrap();
    let start = format!("echo {} > /proc/self/oom_score_adj; exec nice -n {NICE} \"$0\" \"$@\"", own + OOM_MORE);
    let mut command = Command::new("sh");
    command.args(["-c", &start, env!("CARGO_BIN_EXE_muster-worker")]);
    command.args(["--master", "127.0.0.1:1", "--listen", "127.0.0.1:0", "--state-dir"]);
    command.arg(root.path().join("state")).arg("--runner").arg(&runner);
    command.current_dir(root.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let agent = Ended(command.spawn().unwrap());

    let begin = Instant::now();
    while !root.path().join("seen").exists() {
        assert!(begin.elapsed() < PATIENCE, "the agent starts no runner");
        std::thread::sleep(Duration::from_millis(5));
    }
    let seen = fs::read_to_string(root.path().join("seen")).unwrap();
    assert_eq!(seen, format!("{}\n{NICE}\n", own + OOM_MORE));

    let of_agent = |name: &str| format!("/proc/{}/{name}", agent.0.id());
    let begin = Instant::now();
    // The agent gives up its protection while it starts the runner.
    while number(&of_agent("oom_score_adj")) > own {
        assert!(begin.elapsed() < PATIENCE, "the agent is as likely to be chosen as before");
        std::thread::sleep(Duration::from_millis(5));
    }
    if !muster_testenv::lacks("root", rustix::process::geteuid().is_root()) {
        assert_eq!(nice(&of_agent("stat")), -20);
    }
    // The runner ends with this file, and so with the folder of a failed test.
    fs::remove_file(root.path().join("seen")).unwrap();
    drop(agent);
    while is_argument(&runner) {
        assert!(begin.elapsed() < PATIENCE, "the runner does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}
