//! How many processes one runner starts, reaps, journals and reports per second.
//!
//! `cargo run --release -p muster-runner --example spawn_rate [COUNT [RUNNER [UID]]]`, after `cargo
//! build --release -p muster-runner`. The programs run as the runner does; with a UID, those of
//! that user are compared with them, on one runner and in short turns, since a machine that others
//! use as well changes from second to second, and have a `/tmp` of that user's own where the runner
//! can give it one and `TMPDIR` is elsewhere. The example plays the agent on the same machine, so
//! the figure is that of runner, agent and programs together. The program is the smallest that can
//! be executed: it only ends.

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use muster_agent::runner_protocol::{
    Accepted, AgentHello, FrameReader, Framed as _, Limits, ProcessCredentials, Program, SOCKET_NAME, Start, ToAgent,
    ToRunner, VERSION, VERSION_MIN,
};
use muster_types::{Acknowledgement, AllocatedResources, AttemptKey, AttemptNumber, AttemptState, DriverUid};

/// Attempts under way at once.
const WINDOW: u32 = 128;

/// Attempts of a turn, when two users are compared: as short as the window lets it be, so that what
/// the machine does beside it meets both.
const TURN: u32 = 2 * WINDOW;

const SOURCE: &str = r#"
void _start(void) {
#if defined(__x86_64__)
    __asm__ volatile("mov $231, %eax; xor %edi, %edi; syscall");
#elif defined(__aarch64__)
    __asm__ volatile("mov x8, #94; mov x0, #0; svc 0");
#endif
}
"#;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let count = std::env::args().nth(1).map_or(Ok(50_000), |count| count.parse())?;
    let runner = std::env::args().nth(2).map_or_else(beside, |path| Ok(path.into()))?;
    let uid: Option<u32> = std::env::args().nth(3).map(|uid| uid.parse()).transpose()?;
    let dir = tempfile::tempdir()?;
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711))?;
    let program = compile(dir.path())?;
    let limits = Limits { memory: Some(64 << 20), cpu_millis: Some(1000), pids: Some(64) };
    for (name, arguments, limits) in
        [("tree only", ["--limits", "off"], Limits::default()), ("tree and limits", ["--limits", "on"], limits)]
    {
        let state = dir.path().join(name.replace(' ', "-"));
        // A runner from before there were users has no such flag, and takes none but its own.
        let allowed = knows(&runner, "--allow-root")?.then_some("--allow-root");
        let private = dir.path().join(format!("private-{}", name.replace(' ', "-")));
        let has_private = uid.is_some() && !dir.path().starts_with("/tmp") && knows(&runner, "--private-tmp")?;
        let private = ["--private-tmp", private.to_str().ok_or("the path is not a text")?];
        let private = private.into_iter().filter(|_| has_private);
        launch(&runner, &state, arguments.into_iter().chain(allowed).chain(private))?;
        let mut agent = Agent::connect(&state)?;
        agent.logs = dir.path().join(format!("logs-{}", name.replace(' ', "-")));
        std::fs::create_dir(&agent.logs)?;
        let idle = resident(agent.pid)?;
        let user = uid.map(|uid| ProcessCredentials { uid, gid: uid, groups: Vec::new() });
        let mut out = std::io::stdout();
        let mut report = |whom: &str, measured: &Measured| {
            let Measured { rate, latency, processor } = measured;
            writeln!(
                out,
                "{name}{whom}: {rate:.0} spawns/s, {:.0} us of processor each, median {latency:?} from start to end with \
                 {WINDOW} under way",
                processor * 1e6
            )
        };
        agent.measure(&program, limits, count / 10)?;
        if let Some(user) = user {
            let (own, of_user, ratio) = agent.compare(&program, limits, count, &user)?;
            report(", the runner's user", &own)?;
            report(", another user", &of_user)?;
            writeln!(
                out,
                "{name}: another user against the runner's own, in turns: {ratio:.3} of the rate (median of the pairs), \
                 {:.3} of the processor's time",
                of_user.processor / own.processor
            )?;
        } else {
            report("", &agent.measure(&program, limits, count)?)?;
        }
        writeln!(out, "  resident: {idle} KiB before, {} KiB after; {:?}", resident(agent.pid)?, agent.capabilities)?;
        agent.shut_down()?;
    }
    Ok(())
}

fn knows(runner: &Path, flag: &str) -> Result<bool> {
    let help = Command::new(runner).arg("--help").output()?;
    Ok(String::from_utf8_lossy(&help.stdout).contains(flag))
}

fn compile(dir: &Path) -> Result<String> {
    let (source, program) = (dir.join("nothing.c"), dir.join("nothing"));
    std::fs::write(&source, SOURCE)?;
    let status = Command::new("cc").args(["-static", "-O2", "-nostdlib", "-o"]).arg(&program).arg(&source).status()?;
    if !status.success() {
        return Err("cc failed".into());
    }
    Ok(program.to_str().ok_or("the path is not a text")?.to_owned())
}

/// The runner that was built with this example.
fn beside() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own.parent().and_then(Path::parent).ok_or("no directory")?.join("muster-runner"))
}

fn launch<'a>(runner: &Path, state: &Path, arguments: impl Iterator<Item = &'a str>) -> Result<()> {
    let status = Command::new(runner).arg("--state-dir").arg(state).args(arguments).status()?;
    if status.success() { Ok(()) } else { Err("the runner did not start".into()) }
}

fn resident(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// What the runner and all that it has reaped took of the processor.
fn processor_time(pid: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, which is in parentheses, is the second field; the times are the 14th to the 17th.
    let (_, fields) = stat.rsplit_once(')').ok_or("no name")?;
    let ticks =
        fields.split_whitespace().skip(11).take(4).map(str::parse::<u64>).sum::<std::result::Result<u64, _>>()?;
    Ok(Duration::from_secs(ticks) / u32::try_from(rustix::param::clock_ticks_per_second())?)
}

struct Agent {
    stream: UnixStream,
    reader: FrameReader<ToAgent>,
    pid: u32,
    capabilities: String,
    next: u32,
    credentials: Option<ProcessCredentials>,
    logs: PathBuf,
}

impl Agent {
    fn connect(state: &Path) -> Result<Agent> {
        let mut agent = Agent {
            stream: UnixStream::connect(state.join(SOCKET_NAME))?,
            reader: FrameReader::default(),
            pid: 0,
            capabilities: String::new(),
            next: 0,
            credentials: None,
            logs: PathBuf::new(),
        };
        agent.send(&[ToRunner::Hello(AgentHello { version_min: VERSION_MIN, version_max: VERSION })])?;
        let messages = agent.receive()?;
        let Some(ToAgent::Hello(hello)) = messages.first() else { return Err("no hello".into()) };
        (agent.pid, agent.capabilities) = (hello.pid, format!("{:?}", hello.capabilities));
        Ok(agent)
    }

    fn send(&mut self, messages: &[ToRunner]) -> Result<()> {
        let mut frames = Vec::new();
        messages.iter().for_each(|message| message.append_frame(&mut frames));
        Ok(self.stream.write_all(&frames)?)
    }

    /// Receives at least one message.
    fn receive(&mut self) -> Result<Vec<ToAgent>> {
        let mut messages = Vec::new();
        let mut buffer = [0; 65536];
        while messages.is_empty() {
            match self.stream.read(&mut buffer)? {
                0 => return Err("the runner is gone".into()),
                length => self.reader.push(&buffer[..length]),
            }
            while let Some(message) = self.reader.take()? {
                messages.push(message);
            }
        }
        Ok(messages)
    }

    fn start(&mut self, program: &str, limits: Limits) -> ToRunner {
        self.next += 1;
        // Each has files of its own, as in a worker.
        let log = |stream: &str| self.logs.join(format!("{}-{stream}", self.next)).to_string_lossy().into_owned();
        let text = |text: &str| text.to_owned();
        ToRunner::Start(Box::new(Start {
            accepted: Accepted {
                attempt: AttemptKey::Driver(DriverUid(1), AttemptNumber(self.next)),
                id: text("driver-nothing"),
                leased: false,
                resources: AllocatedResources { cores: 1, memory: 1 << 20, ..Default::default() },
                kill_grace: Duration::from_secs(10),
            },
            program: Program {
                program: text(program),
                args: vec![],
                env: vec![(text("PATH"), text("/usr/bin:/bin"))],
                work_dir: text("/tmp"),
                stdout: log("stdout"),
                stderr: log("stderr"),
                credentials: self.credentials.clone(),
            },
            limits,
        }))
    }

    /// Runs `count` processes.
    fn measure(&mut self, program: &str, limits: Limits, count: u32) -> Result<Measured> {
        let first = self.next + 1;
        let (begin, before) = (Instant::now(), processor_time(self.pid)?);
        let mut started: Vec<Instant> = Vec::new();
        let mut latencies = Vec::new();
        let mut batch: Vec<ToRunner> = (0..WINDOW.min(count)).map(|_| self.start(program, limits)).collect();
        while (latencies.len() as u32) < count {
            let now = Instant::now();
            started.resize((self.next + 1 - first) as usize, now);
            self.send(&batch)?;
            batch.clear();
            for message in self.receive()? {
                let ToAgent::Report(report) = message else { continue };
                let AttemptState::Ended(outcome) = &report.state else { continue };
                if !outcome.is_success() {
                    return Err(format!("{outcome:?}").into());
                }
                latencies.push(started[(report.attempt.number() - first) as usize].elapsed());
                batch.push(ToRunner::Closed(Acknowledgement { attempt: report.attempt, sequence: report.sequence }));
                if self.next + 1 - first < count {
                    batch.push(self.start(program, limits));
                }
            }
        }
        self.send(&batch)?;
        let rate = f64::from(count) / begin.elapsed().as_secs_f64();
        let processor = (processor_time(self.pid)? - before).as_secs_f64() / f64::from(count);
        Ok(Measured { rate, latency: median(latencies, Duration::cmp), processor })
    }

    /// Runs `count` processes as the runner's user and as many as another, in turns, of which
    /// either begins every other pair. Returns the medians of both, and that of the pairs' ratios.
    fn compare(
        &mut self,
        program: &str,
        limits: Limits,
        count: u32,
        user: &ProcessCredentials,
    ) -> Result<(Measured, Measured, f64)> {
        let (mut own, mut of_user, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for pair in 0..count.div_ceil(TURN) {
            let mut turn = |credentials: Option<&ProcessCredentials>| {
                self.credentials = credentials.cloned();
                self.measure(program, limits, TURN)
            };
            let (one, other) = if pair % 2 == 0 {
                let one = turn(None)?;
                (one, turn(Some(user))?)
            } else {
                let other = turn(Some(user))?;
                (turn(None)?, other)
            };
            ratios.push(other.rate / one.rate);
            own.push(one);
            of_user.push(other);
        }
        Ok((Measured::median(&own), Measured::median(&of_user), median(ratios, f64::total_cmp)))
    }

    fn shut_down(mut self) -> Result<()> {
        self.send(&[ToRunner::Shutdown(Duration::ZERO)])?;
        // Waits until the runner is gone; it may have ended without reading our last
        // acknowledgements.
        while self.stream.read(&mut [0; 65536]).is_ok_and(|length| length > 0) {}
        Ok(())
    }
}

/// What a turn showed.
struct Measured {
    /// Processes per second.
    rate: f64,
    /// The median time from start to end.
    latency: Duration,
    /// Seconds of the processor for each process, its own and the runner's.
    processor: f64,
}

impl Measured {
    /// The processor's time is told in steps that are long against a turn, so it is their mean.
    fn median(turns: &[Measured]) -> Measured {
        let rates = turns.iter().map(|turn| turn.rate).collect();
        let latencies = turns.iter().map(|turn| turn.latency).collect();
        let processor = turns.iter().map(|turn| turn.processor).sum::<f64>() / turns.len() as f64;
        Measured { rate: median(rates, f64::total_cmp), latency: median(latencies, Duration::cmp), processor }
    }
}

/// The middle one of at least one value.
fn median<T: Copy>(mut values: Vec<T>, order: impl Fn(&T, &T) -> std::cmp::Ordering) -> T {
    values.sort_unstable_by(order);
    values[values.len() / 2]
}
