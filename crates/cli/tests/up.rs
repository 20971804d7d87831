//! `muster up` with daemons that are played by shell scripts: what it starts, keeps, replaces and
//! ends.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const MASTER: &str = r#"#!/bin/sh
all="$*"
while [ $# -gt 0 ]; do
  case "$1" in --state-dir) state=$2 ;; --address-file) address=$2 ;; --listen) listen=$2 ;; esac
  shift
done
mkdir -p "$state"
[ -e "$state/broken" ] && { echo "error: the store is broken" >&2; exit 1; }
echo "$all" > "$state/arguments"
# Only who leads says its address.
case "$state" in
  *-[23]) ;;
  *) echo "$listen" > "$address.new" && mv "$address.new" "$address" ;;
esac
exec sleep 100000
"#;

/// The test itself answers the health request, on the address from the arguments.
const ETCD: &str = r#"#!/bin/sh
[ "$1" = --name ] && [ "$3" = --data-dir ] || exit 9
mkdir -p "$4"
env > "$4/environment"
echo "$*" > "$4/arguments.new" && mv "$4/arguments.new" "$4/arguments"
exec sleep 100000
"#;

const WORKER: &str = r#"#!/bin/sh
[ "$1" = stop ] && { touch "$3/stopped"; exit 0; }
all="$*"
while [ $# -gt 0 ]; do
  case "$1" in --state-dir) state=$2 ;; --address-file) address=$2 ;; esac
  shift
done
mkdir -p "$state"
echo "$all" > "$state/arguments"
env > "$state/environment"
echo 127.0.0.1:1 > "$address.new" && mv "$address.new" "$address"
exec sleep 100000
"#;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder of programs, and one of a cluster.
struct Stage {
    root: TempDir,
    listen: String,
}

impl Stage {
    fn new() -> Stage {
        let root = tempfile::tempdir().expect("a folder");
        let stage = Stage { root, listen: free_address() };
        fs::create_dir(stage.bin()).expect("a folder");
        let ours = Path::new(env!("CARGO_BIN_EXE_muster"));
        // `muster` looks beside its own program; a symbolic link would lead it to the original
        // folder.
        fs::hard_link(ours, stage.muster()).or_else(|_| fs::copy(ours, stage.muster()).map(drop)).expect("a copy");
        for (name, script) in [("muster-master", MASTER), ("muster-worker", WORKER), ("etcd", ETCD)] {
            let path = stage.bin().join(name);
            fs::write(&path, script).expect("a script");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it can be run");
        }
        stage
    }

    fn bin(&self) -> PathBuf {
        self.root.path().join("bin")
    }

    fn muster(&self) -> PathBuf {
        self.bin().join("muster")
    }

    fn dir(&self) -> PathBuf {
        self.root.path().join("data")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.muster());
        command.args(words).arg("--dir").arg(self.dir()).stdin(Stdio::null());
        command.env("MUSTER_SECRET", "x").env("MUSTER_ETCD", self.bin().join("etcd")).env("ETCD_NAME", "another");
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("muster runs")
    }

    fn up(&self, words: &[&str]) -> Output {
        let all: Vec<&str> = ["up", "--listen", &self.listen].into_iter().chain(words.iter().copied()).collect();
        self.run(&all)
    }

    /// Starts `muster up` in the foreground and waits until it is ready.
    fn foreground(&self, words: &[&str]) -> Child {
        let all: Vec<&str> = ["up", "--listen", &self.listen].into_iter().chain(words.iter().copied()).collect();
        let child = self.command(&all).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("muster runs");
        until("it is up", || self.dir().join("run/ready").exists());
        child
    }

    /// The process of a part, from its pid file.
    fn pid(&self, part: &str) -> Option<Pid> {
        let text = fs::read_to_string(self.dir().join(format!("run/{part}.pid"))).ok()?;
        Pid::from_raw(text.split_whitespace().next()?.parse().ok()?)
    }

    /// Answers once, in another thread, that the etcd of this cluster is healthy.
    fn answer_for_etcd(&self) -> std::thread::JoinHandle<()> {
        let arguments = self.dir().join("etcd/arguments");
        let arguments_seen = move || fs::read_to_string(&arguments).unwrap_or_default();
        std::thread::spawn(move || {
            until("etcd is started", || !arguments_seen().is_empty());
            let arguments_seen = arguments_seen();
            let url =
                arguments_seen.split(' ').skip_while(|word| *word != "--listen-client-urls").nth(1).expect("a URL");
            let address = url.strip_prefix("http://127.0.0.1:").expect("on loopback");
            let listener = std::net::TcpListener::bind(format!("127.0.0.1:{address}")).expect("the port is free");
            let (mut asker, _) = listener.accept().expect("it is asked");
            // Closing a connection with unread data resets it, which would lose the answer.
            std::io::Read::read(&mut asker, &mut [0; 1024]).expect("it asks");
            std::io::Write::write_all(&mut asker, b"HTTP/1.0 200 OK\r\n\r\n{\"health\":\"true\"}").expect("it listens");
        })
    }

    fn has(&self, path: &str) -> bool {
        self.dir().join(path).exists()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // A test that failed half-way leaves nothing behind.
        let _ = self.run(&["down"]);
    }
}

fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it has an address").to_string()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process runs; a zombie does not.
fn runs(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn ended(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().expect("muster ends");
    (output.status.code(), text(&output.stderr))
}

#[test]
fn a_directory_in_which_others_write_is_no_place_for_a_cluster() {
    let stage = Stage::new();
    fs::create_dir(stage.dir()).expect("made");
    for mode in [0o777, 0o1777] {
        fs::set_permissions(stage.dir(), fs::Permissions::from_mode(mode)).expect("set");
        let refused = stage.up(&["--detach"]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains("everybody may write to"), "{said}");
        assert_eq!(fs::read_dir(stage.dir()).expect("there").count(), 0, "nothing is written there");
    }
    // What others wrote into one meanwhile is not believed.
    fs::create_dir_all(stage.dir().join("run")).expect("made");
    fs::write(stage.dir().join("up.lock"), "").expect("written");
    let refused = stage.run(&["down"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("everybody may write to"), "{said}");
}

#[test]
fn a_cluster_comes_up_in_the_background_is_joined_and_goes_down() {
    let stage = Stage::new();
    let output = stage.up(&["--detach", "--workers", "3", "--cores", "4", "--memory", "1G"]);
    let out = text(&output.stdout);
    assert!(output.status.success(), "{out}{}", text(&output.stderr));
    assert!(out.contains(&format!("master {}, 3 workers (4 cores, 1GiB each)", stage.listen)), "{out}");
    assert!(out.contains("muster submit") && out.contains("muster down"), "{out}");
    let arguments = fs::read_to_string(stage.dir().join("worker-3/arguments")).expect("it was started");
    assert!(arguments.contains(&format!("--master {} --name worker-3", stage.listen)), "{arguments}");
    assert!(arguments.contains("--cores 4 --memory 1073741824"), "{arguments}");
    let environment = fs::read_to_string(stage.dir().join("worker-3/environment")).expect("it was started");
    assert!(!environment.contains("MUSTER_"), "what is in our environment is not for the daemons: {environment}");

    let again = stage.up(&["--detach"]);
    assert!(again.status.success() && text(&again.stdout).contains("up already"), "{}", text(&again.stdout));
    let refused = stage.up(&[]);
    assert_eq!(refused.status.code(), Some(1));
    let holder = fs::read_to_string(stage.dir().join("up.lock")).expect("the lock says who");
    let holder = holder.split_whitespace().next().expect("a process");
    assert!(text(&refused.stderr).contains(&format!("process {holder}")), "{}", text(&refused.stderr));

    let parts: Vec<Pid> =
        ["master", "worker-1", "worker-2", "worker-3"].map(|part| stage.pid(part).expect("it runs")).into();
    let down = stage.run(&["down"]);
    assert!(down.status.success(), "{}", text(&down.stderr));
    assert!(parts.iter().all(|pid| !runs(*pid)), "nothing is left");
    assert!((1..=3).all(|number| stage.has(&format!("worker-{number}/stopped"))), "the work was ended");
    assert!(stage.run(&["down"]).status.success(), "what is down goes down again");
}

#[test]
fn a_part_that_dies_is_started_again_and_that_is_said() {
    let stage = Stage::new();
    let up = stage.foreground(&["--workers", "1"]);
    for part in ["worker-1", "master"] {
        let first = stage.pid(part).expect("it runs");
        kill_process(first, Signal::KILL).expect("it is killed");
        until("another runs", || stage.pid(part).is_some_and(|pid| pid != first && runs(pid)));
    }
    kill_process(Pid::from_child(&up), Signal::INT).expect("it is interrupted");
    let (code, said) = ended(up);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("worker-1 ended (signal: 9 (SIGKILL)); it is started again in 500ms"), "{said}");
    assert!(said.contains("all has ended") && stage.has("worker-1/stopped"), "{said}");
}

#[test]
fn what_a_killed_one_left_is_replaced_and_its_work_goes_on() {
    let stage = Stage::new();
    let mut first = stage.foreground(&[]);
    let old = ["master", "worker-1", "worker-2"].map(|part| stage.pid(part).expect("it runs"));
    first.kill().expect("it is killed");
    first.wait().expect("it is gone");
    assert!(old.iter().all(|pid| runs(*pid)), "daemons outlive it");
    let output = stage.up(&["--detach"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(old.iter().all(|pid| !runs(*pid)), "the old ones are gone");
    assert!(["master", "worker-1", "worker-2"].iter().all(|part| stage.pid(part).is_some_and(runs)), "new ones run");
    assert!(!stage.has("worker-1/stopped"), "what ran was not ended");
}

#[test]
fn with_keep_what_runs_is_left_alone_until_it_is_taken_down() {
    let stage = Stage::new();
    let up = stage.foreground(&["--keep", "--workers", "1"]);
    let parts = ["master", "worker-1"].map(|part| stage.pid(part).expect("it runs"));
    kill_process(Pid::from_child(&up), Signal::TERM).expect("it is asked to end");
    let (code, said) = ended(up);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("what runs goes on"), "{said}");
    assert!(parts.iter().all(|pid| !runs(*pid)) && !stage.has("worker-1/stopped"));
    assert!(stage.run(&["down"]).status.success());
    assert!(stage.has("worker-1/stopped"), "down ends what was kept");
}

#[test]
fn a_start_that_fails_says_why_and_leaves_nothing() {
    let stage = Stage::new();
    fs::create_dir_all(stage.dir().join("master")).expect("a folder");
    fs::write(stage.dir().join("master/broken"), "").expect("a file");
    for words in [&["--detach"][..], &[]] {
        let output = stage.up(words);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("master ended before it was ready") && said.contains("the store is broken"), "{said}");
        assert_eq!(stage.pid("master"), None);
    }
}

#[test]
fn mistakes_are_answered_before_anything_starts() {
    let stage = Stage::new();
    let none = stage.run(&["down"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(text(&none.stderr).contains("there is no cluster in"), "{}", text(&none.stderr));
    let busy_port = std::net::TcpListener::bind(&stage.listen).expect("it is free");
    let busy = stage.up(&[]);
    assert_eq!(busy.status.code(), Some(1));
    assert!(text(&busy.stderr).contains("something listens on"), "{}", text(&busy.stderr));
    drop(busy_port);
    fs::remove_file(stage.bin().join("muster-master")).expect("it was there");
    let missing = stage.command(&["up"]).env("PATH", "/nowhere").output().expect("muster runs");
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("muster-master is not found in PATH"), "{}", text(&missing.stderr));
}

#[test]
fn several_masters_share_an_etcd_and_all_of_it_is_kept_and_ended() {
    let stage = Stage::new();
    let etcd = stage.answer_for_etcd();
    let output = stage.up(&["--detach", "--masters", "3", "--etcd", "--workers", "1"]);
    let out = text(&output.stdout);
    assert!(output.status.success(), "{out}{}", text(&output.stderr));
    etcd.join().expect("etcd was asked");
    let said = |path: &str| fs::read_to_string(stage.dir().join(path)).expect("it is there").trim().to_owned();
    let ready = said("run/ready");
    let addresses: Vec<&str> = ready.split(',').collect();
    assert_eq!((addresses.len(), addresses[0]), (3, stage.listen.as_str()), "{ready}");
    assert!(said("worker-1/arguments").contains(&format!("--master {ready} --name worker-1")), "{ready}");
    assert!(out.contains(&format!("masters {ready}")), "{out}");
    let store = format!("--store etcd://{}/muster", said("run/etcd.address"));
    for (number, address) in (1..).zip(addresses) {
        let arguments = said(&format!("master-{number}/arguments"));
        assert!(arguments.contains(&format!("--listen {address}")) && arguments.contains(&store), "{arguments}");
    }
    assert!(!said("etcd/environment").contains("ETCD_NAME"), "etcd ends when it is told something twice");
    assert!(!stage.has("master"), "there is no master beside them");

    let parts = ["etcd", "master-1", "master-2", "master-3", "worker-1"];
    for part in ["etcd", "master-1", "master-3"] {
        let first = stage.pid(part).expect("it runs");
        kill_process(first, Signal::KILL).expect("it is killed");
        until("another runs", || stage.pid(part).is_some_and(|pid| pid != first && runs(pid)));
    }
    assert!(store.contains(&said("run/etcd.address")), "it is where it was");
    let pids = parts.map(|part| stage.pid(part).expect("it runs"));
    let down = stage.run(&["down"]);
    assert!(down.status.success(), "{}", text(&down.stderr));
    assert!(pids.iter().all(|pid| !runs(*pid)), "nothing is left");
    let refused = stage.up(&[]);
    assert!(text(&refused.stderr).contains("add --etcd"), "{}", text(&refused.stderr));
}

#[test]
fn masters_and_etcd_that_outlive_their_keeper_are_ended() {
    let stage = Stage::new();
    let etcd = stage.answer_for_etcd();
    let mut first = stage.foreground(&["--masters", "2", "--etcd", "--workers", "1"]);
    etcd.join().expect("etcd was asked");
    let old = ["etcd", "master-1", "master-2", "worker-1"].map(|part| stage.pid(part).expect("it runs"));
    first.kill().expect("it is killed");
    first.wait().expect("it is gone");
    assert!(old.iter().all(|pid| runs(*pid)), "daemons outlive it");
    assert!(stage.run(&["down"]).status.success());
    assert!(old.iter().all(|pid| !runs(*pid)), "nothing is left");
}

#[test]
fn mistakes_about_masters_and_etcd_are_answered_before_anything_starts() {
    let stage = Stage::new();
    let refused = |words: &[&str], code: i32, said: &str| {
        let output = stage.up(words);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(said), "{words:?}: {}", text(&output.stderr));
        assert!(stage.pid("etcd").is_none() && stage.pid("master-1").is_none(), "{words:?}");
    };
    refused(&["--masters", "3"], 2, "add --etcd");
    refused(&["--masters", "8", "--etcd"], 2, "1..=7");
    refused(&["--etcd", "--etcd-binary", "/no/etcd"], 1, "/no/etcd is no program");
    refused(&["--etcd-binary", "/bin/true"], 2, "--etcd");
    let nowhere = |command: &mut Command| command.env_remove("MUSTER_ETCD").env("PATH", "/nowhere").output();
    let none = nowhere(&mut stage.command(&["up", "--etcd"])).expect("muster runs");
    assert_eq!(none.status.code(), Some(1));
    assert!(text(&none.stderr).contains("apt install etcd-server"), "{}", text(&none.stderr));
    assert!(!stage.has("etcd"));
    fs::create_dir_all(stage.dir().join("master")).expect("a folder");
    refused(&["--etcd", "--masters", "3"], 1, "leave --etcd out");
}
