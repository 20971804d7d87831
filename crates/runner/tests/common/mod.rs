//! Starts real runners and plays their agent.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use muster_agent::runner_protocol::{
    Accepted, AgentHello, FrameReader, Framed as _, Kill, KillReason, Limits, ProcessCredentials, Program, Renewal,
    RunnerHello, SOCKET_NAME, Start, ToAgent, ToRunner, VERSION, VERSION_MIN,
};
pub use muster_testenv::lacks;
use muster_types::{
    Acknowledgement, AllocatedResources, AttemptKey, AttemptNumber, AttemptState, DriverUid, KilledBy, Outcome, Report,
    Time, WallTime,
};
use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};

/// Long enough for a loaded machine; nothing waits for it unless something is wrong.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The user of programs that are started as one: the kernel's own, whom every machine has.
pub const USER: u32 = 65_534;

/// Trees without cgroups.
pub const NONE: &[&str] = &["--tree", "none"];

/// The ways to freeze that a machine may have.
pub const V2: &[&str] = &["--tree", "cgroup2"];
pub const V1: &[&str] = &["--tree", "freezer"];

/// Longer than a start takes on a busy machine.
pub const LEASE: Duration = Duration::from_millis(1500);

/// Longer than a tree that executes ever leaves no beat.
pub const QUIET: Duration = Duration::from_millis(400);

/// Two processes that beat, one of them in another session; both ignore TERM.
pub fn ticking(word: &str) -> String {
    let beat = "trap '' TERM; while :; do echo >> beats; sleep 0.01; done";
    format!("setsid sh -c \"{beat}; : {word}\" & {beat}; : {word}")
}

pub fn beats(runner: &TestRunner) -> u64 {
    std::fs::metadata(runner.file("beats")).map_or(0, |file| file.len())
}

/// A runner in a state directory of its own, ended when the test ends.
pub struct TestRunner {
    pub dir: tempfile::TempDir,
    state: PathBuf,
    arguments: Vec<String>,
    launcher: Vec<String>,
    allows_root: bool,
}

impl TestRunner {
    /// Starts a runner by a program that executes its arguments.
    pub fn start_by(launcher: &[&str], arguments: &[&str]) -> TestRunner {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let runner =
            TestRunner { dir, state, arguments: owned(arguments), launcher: owned(launcher), allows_root: true };
        std::fs::set_permissions(runner.dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        runner.launch();
        runner
    }

    pub fn start(arguments: &[&str]) -> TestRunner {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let runner = TestRunner { dir, state, arguments, launcher: Vec::new(), allows_root: true };
        runner.launch();
        runner
    }

    /// Starts a runner that starts nothing as root. Everybody may enter its directory, where
    /// `work` belongs to the user of [`TestRunner::user`].
    pub fn start_for_users(arguments: &[&str]) -> TestRunner {
        TestRunner::start_for_users_in(&std::env::temp_dir(), arguments)
    }

    /// The same, in a new directory of this one, which is what `DIR` in an argument stands for.
    pub fn start_for_users_in(parent: &Path, arguments: &[&str]) -> TestRunner {
        let dir = tempfile::tempdir_in(parent).unwrap();
        let state = dir.path().join("state");
        let own = dir.path().to_str().unwrap();
        let arguments = arguments.iter().map(|argument| argument.replace("DIR", own)).collect();
        let runner = TestRunner { dir, state, arguments, launcher: Vec::new(), allows_root: false };
        std::fs::set_permissions(runner.dir.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        std::fs::create_dir(runner.file("work")).unwrap();
        std::os::unix::fs::chown(runner.file("work"), Some(USER), Some(USER)).unwrap();
        runner.launch();
        runner
    }

    /// A start as a user, who works in `work`. The output of each attempt has files of its own.
    pub fn start_as(&self, uid: u32, key: AttemptKey, script: &str) -> Start {
        let mut start = self.shell(key, script);
        start.program.credentials = Some(ProcessCredentials { uid, gid: uid, groups: vec![uid] });
        start.program.work_dir = self.file("work").to_str().unwrap().to_owned();
        start.program.stdout = self.file(&format!("{key}.out")).to_str().unwrap().to_owned();
        start.program.stderr = self.file(&format!("{key}.err")).to_str().unwrap().to_owned();
        start
    }

    /// What an attempt has written to its standard output.
    pub fn output(&self, key: AttemptKey) -> String {
        std::fs::read_to_string(self.file(&format!("{key}.out"))).unwrap_or_default()
    }

    /// Starts a runner whose state directory lies in another one.
    pub fn start_in(parent: &Path) -> TestRunner {
        let state = parent.join("state");
        let runner = TestRunner {
            dir: tempfile::tempdir().unwrap(),
            state,
            arguments: Vec::new(),
            launcher: Vec::new(),
            allows_root: true,
        };
        runner.launch();
        runner
    }

    pub fn state_dir(&self) -> PathBuf {
        self.state.clone()
    }

    pub fn try_launch(&self) -> std::process::Output {
        let binary = env!("CARGO_BIN_EXE_muster-runner");
        let mut words = self.launcher.iter().map(String::as_str).chain([binary]);
        Command::new(words.next().unwrap())
            .args(words)
            .arg("--state-dir")
            .arg(self.state_dir())
            .args(self.allows_root.then_some("--allow-root"))
            .args(&self.arguments)
            .output()
            .unwrap()
    }

    /// Launches a runner, or another one after the last has ended.
    pub fn launch(&self) {
        let output = self.try_launch();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Sets the arguments of the runners that are launched from now on.
    pub fn set_arguments(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    }

    /// Connects. Where the test asked for a kind of tree that the machine has not, it fails.
    pub fn connect(&self) -> Agent {
        let agent = Agent::connect(&self.state_dir());
        let wanted = self.arguments.iter().skip_while(|argument| *argument != "--tree").nth(1);
        if let Some(kind) = wanted.filter(|kind| *kind != "none") {
            lacks(kind, agent.hello.capabilities.tree);
        }
        agent
    }

    pub fn connect_as(&self, hello: AgentHello) -> Agent {
        Agent::connect_as(&self.state_dir(), hello)
    }

    pub fn pid(&self) -> Pid {
        read_pid(&self.state_dir().join("runner.pid")).unwrap()
    }

    /// KILLs the runner.
    pub fn signal_kill(&self) {
        kill_process(self.pid(), Signal::KILL).unwrap();
    }

    /// KILLs the runner and waits until its process is gone.
    pub fn crash(&self) {
        let pid = self.pid();
        kill_process(pid, Signal::KILL).unwrap();
        wait_until("the runner is gone", || !is_alive(pid));
    }

    /// A path for a program to write to.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs a line of shell.
    pub fn shell(&self, key: AttemptKey, script: &str) -> Start {
        self.program(key, "/bin/sh", &["-c", script])
    }

    pub fn program(&self, key: AttemptKey, program: &str, args: &[&str]) -> Start {
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        Start {
            accepted: accepted(key),
            program: Program {
                program: program.into(),
                args: args.iter().map(|argument| (*argument).to_owned()).collect(),
                env: vec![("PATH".into(), "/usr/bin:/bin".into()), ("DIR".into(), text(self.dir.path().into()))],
                work_dir: text(self.dir.path().into()),
                stdout: text(self.file("stdout")),
                stderr: text(self.file("stderr")),
                credentials: None,
            },
            limits: Limits::default(),
        }
    }
}

impl Drop for TestRunner {
    fn drop(&mut self) {
        let Some(pid) = read_pid(&self.state_dir().join("runner.pid")) else { return };
        let Ok(mut stream) = UnixStream::connect(self.state_dir().join(SOCKET_NAME)) else { return };
        let mut frames = Vec::new();
        ToRunner::Hello(AgentHello { version_min: VERSION_MIN, version_max: VERSION }).append_frame(&mut frames);
        ToRunner::Shutdown(Duration::ZERO).append_frame(&mut frames);
        if stream.write_all(&frames).is_ok() && !std::thread::panicking() {
            wait_until("the runner is gone", || !is_alive(pid));
        }
    }
}

/// An agent's end of the connection.
pub struct Agent {
    stream: UnixStream,
    reader: FrameReader<ToAgent>,
    pub hello: RunnerHello,
    /// Newest report of each attempt, and how many arrived.
    pub reports: BTreeMap<AttemptKey, Report>,
    pub received: u64,
}

impl Agent {
    pub fn connect(state_dir: &Path) -> Agent {
        Agent::connect_as(state_dir, AgentHello { version_min: VERSION_MIN, version_max: VERSION })
    }

    pub fn connect_as(state_dir: &Path, hello: AgentHello) -> Agent {
        let mut stream = UnixStream::connect(state_dir.join(SOCKET_NAME)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut frame = Vec::new();
        ToRunner::Hello(hello).append_frame(&mut frame);
        stream.write_all(&frame).unwrap();
        let mut reader = FrameReader::default();
        let ToAgent::Hello(hello) = next(&mut stream, &mut reader).unwrap() else { panic!("no hello") };
        Agent { stream, reader, hello: *hello, reports: BTreeMap::new(), received: 0 }
    }

    pub fn send(&mut self, messages: &[ToRunner]) {
        let mut frames = Vec::new();
        messages.iter().for_each(|message| message.append_frame(&mut frames));
        self.stream.write_all(&frames).unwrap();
    }

    pub fn start(&mut self, start: Start) {
        self.send(&[ToRunner::Start(Box::new(start))]);
    }

    pub fn kill(&mut self, attempt: AttemptKey, at_once: bool) {
        self.send(&[ToRunner::Kill(Kill {
            attempt,
            at_once,
            grace: None,
            reason: KillReason::By(KilledBy::Operator),
        })]);
    }

    pub fn renew(&mut self, lease: Duration) {
        let (sent, sent_wall) = now();
        self.send(&[ToRunner::Renew(Renewal { sent, sent_wall, lease })]);
    }

    pub fn acknowledge(&mut self, report: &Report) {
        self.send(&[ToRunner::Closed(Acknowledgement { attempt: report.attempt, sequence: report.sequence })]);
    }

    /// The next message; a report is remembered. `None` if the runner closed the connection.
    pub fn next(&mut self) -> Option<ToAgent> {
        let message = next(&mut self.stream, &mut self.reader)?;
        if let ToAgent::Report(report) = &message {
            self.received += 1;
            self.reports.insert(report.attempt, (**report).clone());
        }
        Some(message)
    }

    /// Reads until the runner closes the connection.
    pub fn hear_out(&mut self) {
        while self.next().is_some() {}
    }

    /// Waits for a report of an attempt that satisfies a condition.
    pub fn wait(&mut self, key: AttemptKey, condition: impl Fn(&Report) -> bool) -> Report {
        loop {
            if let Some(report) = self.reports.get(&key).filter(|report| condition(report)) {
                return report.clone();
            }
            assert!(self.next().is_some(), "the runner closed the connection");
        }
    }

    pub fn wait_running(&mut self, key: AttemptKey) -> Report {
        self.wait(key, |report| report.state == AttemptState::Running)
    }

    pub fn wait_ended(&mut self, key: AttemptKey) -> Outcome {
        outcome(&self.wait(key, |report| matches!(report.state, AttemptState::Ended(_))))
    }

    pub fn run(&mut self, start: Start) -> Outcome {
        let key = start.accepted.attempt;
        self.start(start);
        self.wait_ended(key)
    }

    /// Everything that the runner knows.
    pub fn inventory(&mut self) -> Vec<Report> {
        self.send(&[ToRunner::Inventory(7)]);
        let mut all = Vec::new();
        loop {
            if let Some(ToAgent::Inventory { number: 7, reports, last }) = self.next() {
                all.extend(reports);
                if last {
                    return all;
                }
            }
        }
    }

    /// Asks for the inventory until an attempt in it satisfies a condition.
    pub fn wait_in_inventory(&mut self, key: AttemptKey, condition: impl Fn(&Report) -> bool) -> Report {
        let begin = Instant::now();
        loop {
            let found = self.inventory().into_iter().find(|report| report.attempt == key && condition(report));
            if let Some(report) = found {
                return report;
            }
            assert!(begin.elapsed() < PATIENCE, "never in the inventory");
        }
    }

    /// Whether a ping is answered within a time.
    pub fn is_answered(&mut self, patience: Duration) -> bool {
        self.send(&[ToRunner::Ping(4)]);
        self.stream.set_read_timeout(Some(patience)).unwrap();
        let answered = loop {
            if let Some(message) = self.reader.take().unwrap() {
                if let ToAgent::Report(report) = &message {
                    self.reports.insert(report.attempt, (**report).clone());
                }
                if message == ToAgent::Pong(4) {
                    break true;
                }
                continue;
            }
            let mut buffer = [0; 65536];
            match self.stream.read(&mut buffer) {
                Ok(length) => self.reader.push(&buffer[..length]),
                Err(_) => break false,
            }
        };
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        answered
    }

    pub fn has_ended(&self, key: AttemptKey) -> bool {
        self.reports.get(&key).is_some_and(|report| matches!(report.state, AttemptState::Ended(_)))
    }

    /// Waits until everything sent so far has been taken.
    pub fn ping(&mut self) {
        self.send(&[ToRunner::Ping(3)]);
        while self.next().expect("the runner answers") != ToAgent::Pong(3) {}
    }
}

fn next(stream: &mut UnixStream, reader: &mut FrameReader<ToAgent>) -> Option<ToAgent> {
    loop {
        if let Some(message) = reader.take().unwrap() {
            return Some(message);
        }
        let mut buffer = [0; 65536];
        match stream.read(&mut buffer) {
            Ok(0) => return None,
            Ok(length) => reader.push(&buffer[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
            Err(error) => panic!("nothing arrives: {error}"),
        }
    }
}

pub fn driver(number: u32) -> AttemptKey {
    AttemptKey::Driver(DriverUid(0xabc), AttemptNumber(number))
}

pub fn accepted(attempt: AttemptKey) -> Accepted {
    Accepted {
        attempt,
        id: "driver-test".into(),
        leased: false,
        resources: AllocatedResources { cores: 1, memory: 1 << 20, ..Default::default() },
        kill_grace: Duration::from_secs(20),
    }
}

pub fn leased(mut start: Start) -> Start {
    start.accepted.leased = true;
    start
}

pub fn with_grace(mut start: Start, grace: Duration) -> Start {
    start.accepted.kill_grace = grace;
    start
}

pub fn outcome(report: &Report) -> Outcome {
    match &report.state {
        AttemptState::Ended(outcome) => outcome.clone(),
        other => panic!("{} has not ended: {other:?}", report.attempt),
    }
}

pub fn now() -> (Time, WallTime) {
    let (boot, wall) = (clock_gettime(ClockId::Boottime), clock_gettime(ClockId::Realtime));
    let nanos = |time: rustix::time::Timespec| time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64;
    (Time(nanos(boot)), WallTime(nanos(wall) / 1_000_000))
}

pub fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether a process executes or could execute. The id is the machine's.
pub fn is_alive(pid: Pid) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())) else { return false };
    let state = stat.rsplit_once(") ").unwrap().1.as_bytes()[0];
    !matches!(state, b'Z' | b'X')
}

pub fn read_pid(path: &Path) -> Option<Pid> {
    Pid::from_raw(std::fs::read_to_string(path).ok()?.trim().parse().ok()?)
}

pub fn report_pid(report: &Report) -> Pid {
    Pid::from_raw(report.pid.unwrap() as i32).unwrap()
}

/// Processes of the machine whose command line holds a word that only the test's own can hold.
pub fn count_with_argument(word: &str) -> usize {
    let Ok(entries) = std::fs::read_dir("/proc") else { return 0 };
    entries
        .filter_map(Result::ok)
        .filter(|entry| {
            std::fs::read(entry.path().join("cmdline"))
                .is_ok_and(|line| line.windows(word.len()).any(|window| window == word.as_bytes()))
        })
        .count()
}

/// The runner's guards, as the machine sees them.
pub fn guards_of(runner: &TestRunner) -> Vec<Pid> {
    let parent = runner.pid().as_raw_nonzero().to_string();
    let guard = |entry: std::fs::DirEntry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let is_guard = line.split(|byte| *byte == 0).nth(1) == Some(b"--guard");
        (is_guard && stat.rsplit_once(") ")?.1.split(' ').nth(1)? == parent).then(|| Pid::from_raw(pid)).flatten()
    };
    std::fs::read_dir("/proc").unwrap().flatten().filter_map(guard).collect()
}

pub fn guard_of(runner: &TestRunner) -> Option<Pid> {
    guards_of(runner).first().copied()
}

pub fn wait_guard(runner: &TestRunner) -> Pid {
    wait_until("there is a guard", || guard_of(runner).is_some());
    guard_of(runner).unwrap()
}

/// A word for [`count_with_argument`].
pub fn unique_word(name: &str) -> String {
    format!("muster-test-{name}-{}", std::process::id())
}
