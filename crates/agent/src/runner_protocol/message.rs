//! The messages.

use std::time::Duration;

use muster_types::{
    Acknowledgement, AllocatedResources, AttemptKey, Capabilities, Incarnation, KilledBy, Outcome, Report, Time,
    WallTime,
};

/// What the agent tells the runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToRunner {
    /// First on each connection.
    Hello(AgentHello),
    /// A heartbeat was answered: the lease counts from when that heartbeat was sent.
    Renew(Renewal),
    /// Remember the attempt before anything is done for it, because its artifacts must be fetched
    /// first. A known attempt is answered with its present state, and nothing changes.
    Accept(Accepted),
    /// Start the attempt; an unknown one is accepted first. An attempt that was started before is
    /// answered with its present state.
    Start(Box<Start>),
    /// The attempt could not be prepared: it ends with this outcome. Taken only while the attempt
    /// is accepted and not started.
    Abandon(AttemptKey, Outcome),
    /// End the attempt.
    Kill(Kill),
    /// Let a frozen attempt go on, if the lease stands; otherwise it stays frozen. Since version 2,
    /// the first whose runner freezes.
    Thaw(AttemptKey),
    /// The master has made the report of an attempt's end durable: its record may be removed. Taken
    /// only if the attempt has ended and the sequence is that of its newest report.
    Closed(Acknowledgement),
    /// Report everything that is known: answered by [`ToAgent::Inventory`] with the same number.
    Inventory(u64),
    /// Answered by [`ToAgent::Pong`] with the same number, when everything before it has been
    /// taken.
    Ping(u64),
    /// End everything that runs, each by its own grace but at most this long, then exit. These ends
    /// are journalled, and the next runner reports them.
    Shutdown(Duration),
}

/// First on each connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentHello {
    /// Oldest version that the agent speaks.
    pub version_min: u32,
    /// Newest version that the agent speaks.
    pub version_max: u32,
}

/// The newest heartbeat that a leader answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Renewal {
    /// When the agent sent that heartbeat (or hello). A renewal older than the known one is
    /// ignored.
    pub sent: Time,
    /// The wall clock at the same moment: a forward step of it against `sent` shortens the lease.
    pub sent_wall: WallTime,
    /// How long leased attempts may run from then on.
    pub lease: Duration,
}

/// An attempt as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The attempt.
    pub attempt: AttemptKey,
    /// Name of the driver or application, for people.
    pub id: String,
    /// Whether it ends with the worker's lease.
    pub leased: bool,
    /// The cores, memory and addresses that it is given.
    pub resources: AllocatedResources,
    /// Time between TERM and KILL.
    pub kill_grace: Duration,
}

/// An attempt to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// What is remembered of it.
    pub accepted: Accepted,
    /// What to execute.
    pub program: Program,
    /// What to enforce. A limit is absent where the machine does not allow it (see the
    /// capabilities) or limits are off.
    pub limits: Limits,
}

/// A program, with every variable substituted.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Program {
    /// A path (relative to `work_dir`), or a name without slash that is looked for in the `PATH` of
    /// `env`.
    pub program: String,
    /// Arguments, without the program.
    pub args: Vec<String>,
    /// The whole environment; nothing is inherited.
    pub env: Vec<(String, String)>,
    /// The working directory, which must exist.
    pub work_dir: String,
    /// The file of its standard output: opened for append, made with mode 0640 if it does not
    /// exist.
    pub stdout: String,
    /// The file of its standard error: opened for append, made with mode 0640 if it does not exist.
    pub stderr: String,
    /// The user that it runs as; without, it runs as the runner does. Since version 3.
    pub credentials: Option<ProcessCredentials>,
}

/// A user, in the numbers that the kernel takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessCredentials {
    /// The user.
    pub uid: u32,
    /// Its primary group.
    pub gid: u32,
    /// Its supplementary groups, in place of the runner's.
    pub groups: Vec<u32>,
}

// The environment holds secrets: only its names are shown.
impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.env.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Program")
            .field("program", &self.program)
            .field("args", &self.args)
            .field("env", &names)
            .field("work_dir", &self.work_dir)
            .field("stdout", &self.stdout)
            .field("stderr", &self.stderr)
            .field("credentials", &self.credentials)
            .finish()
    }
}

/// Limits of a tree; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Bytes.
    pub memory: Option<u64>,
    /// Thousandths of a core.
    pub cpu_millis: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

/// A request to end an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kill {
    /// The attempt. An unknown one is remembered and answered as ended, `NeverStarted`, so that a
    /// later start finds it.
    pub attempt: AttemptKey,
    /// Whether to send KILL at once, without TERM.
    pub at_once: bool,
    /// Time between TERM and KILL, if it differs from the attempt's own.
    pub grace: Option<Duration>,
    /// The reason. The first kill of an attempt gives it; a later kill can only hasten the end.
    pub reason: KillReason,
}

/// Why an attempt is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillReason {
    /// Somebody asked for it.
    By(KilledBy),
    /// Its output exceeded its bound where logs cannot be bounded in place. The outcome is
    /// `LogLimit`, the program's own fault.
    LogLimit,
}

/// What the runner tells the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToAgent {
    /// Answer to the hello.
    Hello(Box<RunnerHello>),
    /// There is no version in common, or something else is wrong with what was sent; the connection
    /// ends. The text is for people.
    Refused(String),
    /// An attempt changed, or the agent asked about it.
    Report(Box<Report>),
    /// A part of the inventory; parts follow each other until `last`.
    Inventory {
        /// The number of the question.
        number: u64,
        /// Known attempts of this incarnation and of earlier ones, in the order of their keys.
        /// Ended ones are among them until they are closed.
        reports: Vec<Report>,
        /// Whether this is the last part.
        last: bool,
    },
    /// Answer to a ping.
    Pong(u64),
}

/// What the runner is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnerHello {
    /// The version that both speak from here on.
    pub version: u32,
    /// The incarnation of this runner, the same for every agent that connects.
    pub incarnation: Incarnation,
    /// The boot in which the incarnation is valid.
    pub boot_id: String,
    /// What the machine lets it do. `punch_hole`, `protected_runner` and `owner_users` are always
    /// false here: the logs belong to the agent, which also says as whom programs run.
    pub capabilities: Capabilities,
    /// The runner's process id in the outer PID namespace. A KILL of it ends everything that it
    /// runs.
    pub pid: u32,
    /// The newest renewal that it holds.
    pub renewal: Option<Renewal>,
}
