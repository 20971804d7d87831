//! Processes that are held by the kernel and not by a signal: frozen in a cgroup, or starved.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use muster_testenv::lacks;

/// Long enough for a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where cgroups may be mounted.
const V2: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
const V1_CPU: &str = "/sys/fs/cgroup/cpu";

/// A cgroup of the test's own, with processes that were put into it.
#[derive(Debug)]
struct TestCgroup {
    root: PathBuf,
    dir: PathBuf,
    /// What was put into it, and where it was before.
    held: Vec<(i32, PathBuf)>,
}

impl TestCgroup {
    fn make(root: &Path, name: &str) -> TestCgroup {
        let dir = root.join(format!("muster-test-{name}-{}", std::process::id()));
        fs::create_dir(&dir).expect("a cgroup can be made");
        TestCgroup { root: root.to_path_buf(), dir, held: Vec::new() }
    }

    fn write(&self, file: &str, value: &str) {
        fs::write(self.dir.join(file), value).expect("the kernel takes it");
    }

    fn take(&mut self, pid: i32) {
        let wanted = if self.root == Path::new(V1_CPU) { "cpu" } else { "" };
        let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("the process is there");
        // `id:controllers:path`; the second version has no controllers.
        let path_of = |line: &str| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            controllers.split(',').any(|name| name == wanted).then(|| path.trim_start_matches('/').to_owned())
        };
        let own = cgroups.lines().find_map(path_of).expect("it has a cgroup");
        self.held.push((pid, self.root.join(own)));
        self.write("cgroup.procs", &pid.to_string());
    }
}

impl Drop for TestCgroup {
    fn drop(&mut self) {
        for (pid, origin) in &self.held {
            // It may be gone, and what was its cgroup too.
            let back = [origin.as_path(), &self.root];
            let _ = back.iter().find(|cgroup| fs::write(cgroup.join("cgroup.procs"), pid.to_string()).is_ok());
        }
        let begin = Instant::now();
        while fs::remove_dir(&self.dir).is_err() && begin.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Processes in a frozen cgroup of the second version, until it is dropped.
#[derive(Debug)]
pub(crate) struct FrozenProcesses(TestCgroup);

impl FrozenProcesses {
    /// `None` where no cgroup can be frozen and whoever runs the tests has said so.
    pub(crate) fn hold(pids: &[i32]) -> Option<FrozenProcesses> {
        let root = V2.map(Path::new).into_iter().find(|root| root.join("cgroup.controllers").exists());
        if lacks("cgroup2", root.is_some()) {
            return None;
        }
        let mut frozen = FrozenProcesses(TestCgroup::make(root?, &format!("frozen-{}", pids[0])));
        pids.iter().for_each(|pid| frozen.0.take(*pid));
        frozen.0.write("cgroup.freeze", "1");
        let events = || fs::read_to_string(frozen.0.dir.join("cgroup.events")).expect("the cgroup is there");
        let begin = Instant::now();
        while !events().contains("frozen 1") {
            assert!(begin.elapsed() < PATIENCE, "it does not freeze");
            std::thread::sleep(Duration::from_millis(2));
        }
        Some(frozen)
    }
}

impl Drop for FrozenProcesses {
    fn drop(&mut self) {
        self.0.write("cgroup.freeze", "0");
    }
}

/// Processes that are runnable and get next to nothing of a processor, until it is dropped: they
/// share a thousandth of one with what is never idle, and are scheduled behind that.
#[derive(Debug)]
pub(crate) struct StarvedProcesses {
    cgroup: TestCgroup,
    busy: Child,
    /// Each with its real-time priority, if it had one.
    pids: Vec<(i32, bool)>,
}

impl StarvedProcesses {
    /// `None` where processor time cannot be limited and whoever runs the tests has said so.
    pub(crate) fn hold(pids: &[i32]) -> Option<StarvedProcesses> {
        let v1 = Path::new(V1_CPU);
        let is_limiting = |root: &&Path| {
            let controllers = fs::read_to_string(root.join("cgroup.subtree_control")).unwrap_or_default();
            controllers.split_whitespace().any(|name| name == "cpu")
        };
        let root = if v1.exists() { Some(v1) } else { V2.map(Path::new).into_iter().find(is_limiting) };
        if lacks("cpu-limits", root.is_some()) {
            return None;
        }
        let cgroup = TestCgroup::make(root?, &format!("starved-{}", pids[0]));
        if root? == v1 {
            cgroup.write("cpu.cfs_period_us", "1000000");
            cgroup.write("cpu.cfs_quota_us", "1000");
        } else {
            cgroup.write("cpu.max", "1000 1000000");
        }
        let mut busy = Command::new("sh");
        busy.args(["-c", "while :; do :; done"]).stdin(Stdio::null());
        let busy = busy.spawn().expect("a shell can be started");
        cgroup.write("cgroup.procs", &busy.id().to_string());
        let mut starved = StarvedProcesses { cgroup, busy, pids: Vec::new() };
        for pid in pids {
            starved.pids.push((*pid, policy(*pid).contains("SCHED_FIFO")));
            // What has a real-time priority is not for such a cgroup.
            chrt(&["--all-tasks", "--idle", "--pid", "0"], *pid);
            starved.cgroup.take(*pid);
        }
        Some(starved)
    }

    /// How often its time was over before its work was.
    pub(crate) fn throttled(&self) -> u64 {
        let text = fs::read_to_string(self.cgroup.dir.join("cpu.stat")).expect("the cgroup is there");
        let count = text.lines().find_map(|line| line.strip_prefix("nr_throttled "));
        count.and_then(|count| count.parse().ok()).expect("the kernel counts it")
    }
}

impl Drop for StarvedProcesses {
    fn drop(&mut self) {
        let _ = self.busy.kill();
        let _ = self.busy.wait();
        for (pid, has_real_time) in std::mem::take(&mut self.pids) {
            let (_, origin) = self.cgroup.held.iter().find(|(held, _)| *held == pid).expect("it was put here");
            // It may be gone.
            let _ = fs::write(origin.join("cgroup.procs"), pid.to_string());
            if Path::new(&format!("/proc/{pid}/stat")).exists() {
                let usual = ["--all-tasks", "--other", "--pid", "0"];
                let first = ["--reset-on-fork", "--fifo", "--pid", "1"];
                chrt(if has_real_time { &first } else { &usual }, pid);
            }
        }
    }
}

fn policy(pid: i32) -> String {
    let output = Command::new("chrt").args(["--pid", &pid.to_string()]).output().expect("chrt is there");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A process that has ended takes nothing.
fn chrt(arguments: &[&str], pid: i32) {
    let output = Command::new("chrt").args(arguments).arg(pid.to_string()).output().expect("chrt is there");
    let is_there = Path::new(&format!("/proc/{pid}/stat")).exists();
    assert!(output.status.success() || !is_there, "{}", String::from_utf8_lossy(&output.stderr));
}
