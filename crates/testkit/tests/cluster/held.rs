//! Processes that the kernel holds, and not a signal: frozen in a cgroup, or starved.

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
    /// The processes in it, and the cgroup of each before.
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
            // The process may be gone, and so may its former cgroup.
            let back = [origin.as_path(), &self.root];
            let _ = back.iter().find(|cgroup| fs::write(cgroup.join("cgroup.procs"), pid.to_string()).is_ok());
        }
        let begin = Instant::now();
        while fs::remove_dir(&self.dir).is_err() && begin.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Processes in a frozen cgroup of the second version, until the value is dropped.
#[derive(Debug)]
pub(crate) struct FrozenProcesses(TestCgroup);

impl FrozenProcesses {
    /// `None` where no cgroup can be frozen, and that feature is named as missing.
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

/// Runnable processes that get next to nothing of a processor, until the value is dropped: they
/// share a thousandth of one with a process that is never idle, and are scheduled behind it.
#[derive(Debug)]
pub(crate) struct StarvedProcesses {
    cgroup: TestCgroup,
    busy: Child,
    /// The processes, and whether each had a real-time priority.
    pids: Vec<(i32, bool)>,
}

impl StarvedProcesses {
    /// `None` where processor time cannot be limited, and that feature is named as missing.
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
            // Such a cgroup is not for a process with a real-time priority.
            chrt(&["--all-tasks", "--idle", "--pid", "0"], *pid);
            starved.cgroup.take(*pid);
        }
        Some(starved)
    }

    /// How often the processes' time was used up before their work was done.
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

/// Changes the scheduling of a process, which may have ended.
fn chrt(arguments: &[&str], pid: i32) {
    let output = Command::new("chrt").args(arguments).arg(pid.to_string()).output().expect("chrt is there");
    let is_there = Path::new(&format!("/proc/{pid}/stat")).exists();
    assert!(output.status.success() || !is_there, "{}", String::from_utf8_lossy(&output.stderr));
}
