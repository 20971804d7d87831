//! Directories for temporary files that are a user's own. These tests need root, who may mount.

mod common;

use std::ffi::CStr;
use std::path::{Path, PathBuf};

use common::*;
use muster_types::{Exit, Outcome};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};

/// Another user than [`USER`].
const OTHER: u32 = 65_533;

/// Where root keeps what ends with the machine. Directories below `/tmp` would not be seen by
/// programs.
const FOLDER: &str = "/run";

/// A runner whose users have directories of their own, unless the machine lets nobody have them.
fn runner() -> Option<(TestRunner, Agent)> {
    if lacks("root", rustix::process::geteuid().is_root()) {
        return None;
    }
    let runner = TestRunner::start_for_users_in(Path::new(FOLDER), &["--private-tmp", "DIR/private"]);
    let agent = runner.connect();
    if lacks("mount", agent.hello.capabilities.private_tmp) {
        return None;
    }
    Some((runner, agent))
}

fn private(runner: &TestRunner) -> PathBuf {
    runner.file("private")
}

/// The users whose directories are there.
fn homes(runner: &TestRunner) -> Vec<String> {
    let entries = std::fs::read_dir(private(runner)).expect("readable").flatten();
    let mut names: Vec<_> = entries
        .filter_map(|entry| entry.file_name().to_str()?.split_once('-').map(|(user, _)| user.to_owned()))
        .collect();
    names.sort();
    names
}

/// Runs a script as a user and returns what it wrote.
fn run(runner: &TestRunner, agent: &mut Agent, user: u32, number: u32, script: &str) -> String {
    let key = driver(number);
    let mut start = runner.start_as(user, key, script);
    start.program.work_dir = "/".into();
    assert_eq!(agent.run(start), Outcome::exited(Exit::Code(0)));
    runner.output(key)
}

#[test]
fn a_users_temporary_files_are_its_own_and_shared_by_its_programs() {
    let Some((runner, mut agent)) = runner() else { return };
    let of_machine = tempfile::NamedTempFile::new_in("/tmp").expect("made");
    // No other run of this test has left one of this name in the machine's own.
    let mine = format!("mine-{}", std::process::id());
    let write = format!("for d in /tmp /var/tmp /dev/shm; do ls -A $d; echo secret > $d/{mine}; stat -c %a $d; done");
    assert_eq!(run(&runner, &mut agent, USER, 1, &write), "1777\n1777\n1777\n");
    let read = format!("cat /tmp/{mine} /var/tmp/{mine} /dev/shm/{mine} 2>/dev/null; true");
    assert_eq!(run(&runner, &mut agent, USER, 2, &read), "secret\nsecret\nsecret\n", "another program of the user");
    assert_eq!(run(&runner, &mut agent, OTHER, 3, &read), "", "another user");
    let is_there = |directory: &str| Path::new(directory).join(&mine).exists();
    assert!(of_machine.path().exists() && !["/tmp", "/var/tmp", "/dev/shm"].iter().any(|at| is_there(at)));

    // It sees neither whose else the directories are nor where its own are kept.
    let look = format!(
        "ls {} 2>&1 | grep -c denied; grep -c private /proc/self/mountinfo; umount /tmp; true",
        private(&runner).display()
    );
    assert_eq!(run(&runner, &mut agent, OTHER, 4, &look).lines().next(), Some("1"));
    assert_eq!(run(&runner, &mut agent, OTHER, 5, "ls -A /tmp"), "");
}

/// What the test has mounted, with all that is mounted below it.
struct Mounted(PathBuf);

impl Mounted {
    fn tmpfs(path: PathBuf) -> Mounted {
        std::fs::create_dir(&path).expect("made");
        mount("tmpfs", &path, "tmpfs", MountFlags::empty(), None::<&CStr>).expect("root mounts");
        Mounted(path)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

#[test]
fn later_mounts_of_the_machine_are_seen_and_ours_are_not_passed_on() {
    let Some((runner, agent)) = runner() else { return };
    drop(agent);
    runner.crash();
    // Not every machine passes its mounts on, so this one is in a mount that does.
    let shared = Mounted::tmpfs(runner.file("shared"));
    mount_change(&shared.0, MountPropagationFlags::SHARED).expect("shared");
    runner.launch();
    let mut agent = runner.connect();
    assert_eq!(run(&runner, &mut agent, USER, 1, "echo before"), "before\n");
    let later = Mounted::tmpfs(shared.0.join("later"));
    std::fs::write(later.0.join("file"), "seen").expect("written");
    let read = format!("cat {}/file", later.0.display());
    assert_eq!(run(&runner, &mut agent, USER, 2, &read), "seen");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("readable");
    assert!(!mounts.contains(private(&runner).to_str().expect("a text")), "{mounts}");
}

#[test]
fn what_a_user_left_is_removed_when_nothing_of_it_runs_and_by_the_next_runner() {
    let Some((runner, mut agent)) = runner() else { return };
    run(&runner, &mut agent, USER, 1, "mkdir -p /tmp/a/b && echo kept > /tmp/a/b/c && chmod 000 /tmp/a/b");
    let waits = runner.start_as(OTHER, driver(2), "echo $$ > /tmp/waits; while :; do sleep 0.1; done");
    agent.start(waits);
    wait_until("the other's file is there", || homes(&runner).len() >= 2);
    wait_until("what is left of the first is removed", || homes(&runner) == [OTHER.to_string()]);
    // Its next program begins anew.
    assert_eq!(run(&runner, &mut agent, USER, 3, "ls -A /tmp"), "");
    runner.crash();
    runner.launch();
    let _agent = runner.connect();
    wait_until("nothing is left", || homes(&runner).is_empty());
}

/// The lines of `ipcs` about objects, whatever their kind.
const OBJECTS: &str = "ipcs -a | grep -c ^0x; true";

#[test]
fn what_a_user_shares_in_memory_is_its_own_bounded_and_ends_with_its_programs() {
    let Some((runner, mut agent)) = runner() else { return };
    // A size by which the machine's own table would show the segment.
    let size = 4_096 + u64::from(std::process::id());
    let open = |flags: i32| {
        let name = std::process::id();
        format!(
            "python3 -c 'import ctypes; print(ctypes.CDLL(None).mq_open(b\"/muster-{name}\", {flags}, 384, None) >= 0)'"
        )
    };
    // By O_CREAT and O_RDWR; the next by the latter.
    let make = format!("ipcmk -M {size} && ipcmk -Q && ipcmk -S 3 && {}", open(0o102));
    assert_eq!(run(&runner, &mut agent, USER, 1, &make).lines().last(), Some("True"));
    let of_machine = std::fs::read_to_string("/proc/sysvipc/shm").expect("readable");
    let is_ours = |line: &str| line.split_whitespace().nth(3) == Some(&size.to_string());
    assert!(!of_machine.lines().any(is_ours), "{of_machine}");
    let look = format!("{OBJECTS}; {}", open(0o2));
    assert_eq!(run(&runner, &mut agent, USER, 2, &look), "3\nTrue\n", "another program of the user");
    assert_eq!(run(&runner, &mut agent, OTHER, 3, &look), "0\nFalse\n", "another user");

    let bounds = "df -B1 --output=size,itotal /dev/shm | tail -n 1; cat /proc/sys/kernel/shmall";
    let said = run(&runner, &mut agent, USER, 4, bounds);
    let system = rustix::system::sysinfo();
    let quarter = system.totalram * u64::from(system.mem_unit) / 4 / 4_096;
    let numbers: Vec<u64> = said.split_whitespace().map(|number| number.parse().expect("a number")).collect();
    assert_eq!(numbers, [quarter * 4_096, 65_536, quarter]);

    wait_until("nothing of the users is left", || homes(&runner).is_empty());
    assert_eq!(run(&runner, &mut agent, USER, 5, &look), "0\nFalse\n", "it begins anew");
}

/// Many users come and go: what is kept of them is bounded.
#[test]
fn of_many_users_who_run_nothing_few_are_kept() {
    let Some((runner, mut agent)) = runner() else { return };
    for number in 1..=60 {
        run(&runner, &mut agent, 70_000 + number, number, "true");
    }
    wait_until("most are removed", || homes(&runner).len() <= 16);
}
