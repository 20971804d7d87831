//! A worker's machine: the agent's loop around the real link, a runner around the real fence and
//! journal, and a kernel.

mod agent;
mod freeze;
mod guard;
mod kernel;
mod lives;
mod runner;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use muster_agent::fence::Fence;
use muster_agent::journal::JournalState;
use muster_agent::link::{Link, RememberedCluster};
use muster_agent::runner_protocol::{Accepted, Renewal};
use muster_types::{
    Acknowledgement, AllocatedResources, AttemptKey, Exit, Fault, Incarnation, KilledBy, Launch, Now, Outcome, Reason,
    Report, Session, Time, WallTime, WorkerUid,
};

use super::World;
use super::clock::{Clock, Instant};
use super::event::Life;
use super::network::StreamId;
use super::rng::Rng;

/// What the agent tells the runner, in order.
#[derive(Debug, Clone)]
pub(super) enum RunnerCommand {
    Renew(Renewal),
    Accept(Arc<Launch>),
    Start(Arc<Launch>),
    Kill { attempt: AttemptKey, at_once: bool, by: KilledBy },
    Thaw(AttemptKey),
    Closed(Acknowledgement),
    Inventory(Session),
}

/// What the runner tells the agent, in order.
#[derive(Debug, Clone)]
pub(super) enum Told {
    Reports(Vec<Report>),
    Inventory(Session, Vec<Report>),
    /// The runner's process is gone.
    Gone,
    /// The runner answers again.
    Answers,
}

#[derive(Debug)]
pub(super) struct Agent {
    pub(super) link: Link,
    pub(super) entropy: Rng,
    pub(super) due: Option<Instant>,
    pub(super) streams: BTreeMap<Session, StreamId>,
    /// Launches whose artifacts are being fetched.
    pub(super) preparing: BTreeMap<AttemptKey, Arc<Launch>>,
    pub(super) known: BTreeSet<AttemptKey>,
    /// The wall clock when hellos and heartbeats were sent.
    pub(super) sent_at: BTreeMap<Time, WallTime>,
}

#[derive(Debug)]
pub(super) struct Runner {
    pub(super) incarnation: Incarnation,
    pub(super) fence: Fence,
    pub(super) attempts: BTreeMap<AttemptKey, Attempt>,
    pub(super) due: Option<Instant>,
    /// Leased starts that wait for the guard.
    pub(super) waiting: BTreeMap<AttemptKey, Arc<Launch>>,
    /// The newest term of which the guard was told that everything is stopped.
    pub(super) stated: u64,
}

#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) accepted: Accepted,
    pub(super) sequence: u64,
    pub(super) stage: Stage,
    pub(super) stop: Option<Stopping>,
    pub(super) freeze: Option<Freeze>,
    pub(super) started: Option<WallTime>,
}

/// `Accepted → Starting → Running → Ending → Ended`, as in the runner.
#[derive(Debug)]
pub(super) enum Stage {
    Accepted,
    Starting,
    Running,
    Ending(Outcome),
    Ended(Outcome, WallTime),
}

/// The state of a running attempt whose lease has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freeze {
    /// The kernel was asked to freeze it. It is killed if it is not frozen at `until`.
    Asked { until: Time },
    /// It executes nothing. It is killed if no leader has confirmed it at `until`.
    Frozen { until: Time },
}

/// An order to end an attempt.
#[derive(Debug)]
pub(super) struct Stopping {
    pub(super) reason: Reason,
    pub(super) fault: Fault,
    pub(super) kill_at: Time,
    pub(super) killed: bool,
}

/// A process tree, as the kernel has it.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    pub(super) main: bool,
    pub(super) unparented: u32,
    pub(super) frozen: bool,
    /// Whether it is under the guard's brake.
    pub(super) leased: bool,
    /// Whether the guard's brake holds it.
    pub(super) braked: bool,
    /// Whether the main process would have ended while it was frozen.
    pub(super) overdue: bool,
    /// How the main process ended.
    pub(super) exit: Option<Exit>,
    /// The exit code of its main process, and the number of processes that it leaves behind.
    pub(super) code: i32,
    pub(super) leaves: u32,
    /// Shows that a process acts for its driver.
    pub(super) token: Option<String>,
}

impl Tree {
    /// Whether anything of it is left.
    pub(super) fn is_there(&self) -> bool {
        self.main || self.unparented > 0
    }

    /// Whether anything of it executes.
    pub(super) fn executes(&self) -> bool {
        self.is_there() && !self.frozen && !self.braked
    }
}

/// What survives the processes.
#[derive(Debug, Default)]
pub(super) struct Disk {
    pub(super) remembered: Option<RememberedCluster>,
    pub(super) counter: u64,
    pub(super) journal: JournalState,
}

#[derive(Debug)]
pub(super) struct Machine {
    pub(super) name: String,
    pub(super) uid: WorkerUid,
    pub(super) boot: u64,
    pub(super) clock: Clock,
    pub(super) disk: Disk,
    pub(super) agent: Option<Agent>,
    pub(super) agent_life: Life,
    pub(super) agent_stopped_until: Instant,
    /// How long the agent stops once its inventory has gone up.
    pub(super) agent_stops_next: Option<Duration>,
    /// Whether the agent dies once it has told the runner to start something, which the runner
    /// reads late.
    pub(super) agent_dies_next: bool,
    /// Whether the worker is cut off past its timeout once it has accepted a leased attempt.
    pub(super) cut_off_next_accept: bool,
    /// The attempt whose artifacts come when the worker is back.
    pub(super) prepares_until_back: Option<AttemptKey>,
    /// Whether the answer to its next hello is late, and nothing gets from it to any master after
    /// that.
    pub(super) welcome_dawdles: bool,
    pub(super) runner: Option<Runner>,
    pub(super) runner_life: Life,
    pub(super) runner_stopped_until: Instant,
    pub(super) guard: guard::GuardState,
    /// The newest connection between agent and runner: orders on an older one are void.
    pub(super) connection: u64,
    pub(super) orders_last: Instant,
    pub(super) told_last: Instant,
    pub(super) trees: BTreeMap<AttemptKey, Tree>,
    pub(super) total: AllocatedResources,
    /// Whether its kernel can freeze a tree.
    pub(super) freezer: bool,
}

impl Machine {
    pub(super) fn new(index: usize, clock: Clock, freezer: bool) -> Machine {
        let gpus = (0..2).map(|gpu| Arc::from(format!("g{gpu}"))).collect();
        Machine {
            name: format!("w{index}"),
            freezer,
            uid: WorkerUid(1000 + index as u128),
            boot: 1,
            clock,
            disk: Disk::default(),
            agent: None,
            agent_life: 0,
            agent_stopped_until: Instant(0),
            agent_stops_next: None,
            agent_dies_next: false,
            cut_off_next_accept: false,
            prepares_until_back: None,
            welcome_dawdles: false,
            runner: None,
            runner_life: 0,
            runner_stopped_until: Instant(0),
            guard: guard::GuardState::new(),
            connection: 0,
            orders_last: Instant(0),
            told_last: Instant(0),
            trees: BTreeMap::new(),
            total: AllocatedResources {
                cores: 4,
                memory: 4 << 30,
                addresses: BTreeMap::from([(Arc::from("gpu"), gpus)]),
            },
        }
    }
}

impl World {
    pub(super) fn worker_clock(&self, worker: usize) -> Now {
        self.workers[worker].clock.read(self.now)
    }
}
