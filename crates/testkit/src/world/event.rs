//! The events of the world, and the processes that take them.

use muster_agent::link;
use muster_agent::link::RememberedCluster;
use muster_core::{Answer as CoreAnswer, Rejection, Request};
use muster_types::{AttemptKey, Hello, Report};

use super::clock::Instant;
use super::network::StreamId;
use super::store;
use super::worker::{RunnerCommand, Told};

/// What a worker says to a master.
#[derive(Debug, Clone)]
pub(super) enum Up {
    Hello(Box<Hello>),
    Inventory(Vec<Report>, bool),
    Heartbeat(u64),
    Reports(Vec<Report>),
    /// The worker has dropped the stream.
    Fin,
}

/// What goes down a stream.
#[derive(Debug, Clone)]
pub(super) enum Down {
    Said(link::NumberedDownlink),
    /// The master has ended the stream.
    Fin,
}

/// The answer to a client's call.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    Core(Box<Result<CoreAnswer, Rejection>>),
    /// This master does not lead: nothing was done.
    NotLeader,
}

/// One life of a process. What was meant for an earlier life is void.
pub(super) type Life = u64;

/// Something that happens.
#[derive(Debug, Clone)]
pub(super) enum Event {
    // Streams.
    Dial {
        stream: StreamId,
    },
    Connected {
        stream: StreamId,
    },
    Up {
        stream: StreamId,
        number: u64,
        up: Up,
    },
    Down {
        stream: StreamId,
        number: u64,
        down: Down,
    },
    /// One end of a stream learns that the stream is broken.
    BrokenAtMaster {
        stream: StreamId,
    },
    BrokenAtWorker {
        stream: StreamId,
    },
    // The store.
    Asked {
        master: usize,
        life: Life,
        number: u64,
        call: store::Call,
    },
    Answered {
        master: usize,
        life: Life,
        number: u64,
        answer: store::Answer,
    },
    // Clients.
    Called {
        master: usize,
        call: u64,
        request: Box<Request>,
    },
    Replied {
        call: u64,
        reply: Reply,
    },
    GaveUp {
        call: u64,
    },
    Ask,
    // Masters.
    Beat {
        master: usize,
        life: Life,
    },
    Expiry {
        master: usize,
        life: Life,
        term: u64,
        due: Instant,
    },
    Turn {
        master: usize,
        life: Life,
        term: u64,
    },
    Deadline {
        master: usize,
        life: Life,
        term: u64,
        due: Instant,
    },
    Silence {
        master: usize,
        life: Life,
        term: u64,
        transaction: u64,
        tries: u32,
    },
    Depose {
        master: usize,
        life: Life,
        key: u64,
    },
    StartMaster {
        master: usize,
    },
    // Workers.
    LinkDue {
        worker: usize,
        life: Life,
    },
    Persisted {
        worker: usize,
        life: Life,
        remembered: RememberedCluster,
    },
    Prepared {
        worker: usize,
        life: Life,
        attempt: AttemptKey,
    },
    Ordered {
        worker: usize,
        connection: u64,
        runner: Life,
        order: Box<RunnerCommand>,
    },
    Told {
        worker: usize,
        connection: u64,
        reported: Told,
    },
    RunnerDue {
        worker: usize,
        runner: Life,
    },
    /// The guard looks.
    GuardDue {
        worker: usize,
        runner: Life,
    },
    Spawned {
        worker: usize,
        runner: Life,
        attempt: AttemptKey,
    },
    /// The main process ends, by itself or by a TERM.
    MainEnds {
        worker: usize,
        runner: Life,
        attempt: AttemptKey,
        signal: Option<i32>,
    },
    /// The freezer has done its work.
    Frozen {
        worker: usize,
        runner: Life,
        attempt: AttemptKey,
    },
    /// A KILL has done its work.
    TreeGone {
        worker: usize,
        runner: Life,
        attempt: AttemptKey,
    },
    /// The runner learns what its processes did.
    Reaped {
        worker: usize,
        runner: Life,
        attempt: AttemptKey,
    },
    StartAgent {
        worker: usize,
    },
    StartRunner {
        worker: usize,
    },
    RunnerSilent {
        worker: usize,
        runner: Life,
    },
    // The world.
    Fault,
}

/// The process that takes an event: while it is stopped, the event waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Process {
    Master(usize),
    Agent(usize),
    Runner(usize),
    Guard(usize),
    None,
}

impl Event {
    /// Whether it is a timer's: messages that wait in queues are read before it.
    pub(super) fn is_timer(&self) -> bool {
        matches!(
            self,
            Event::LinkDue { .. }
                | Event::RunnerDue { .. }
                | Event::GuardDue { .. }
                | Event::Expiry { .. }
                | Event::Deadline { .. }
                | Event::Beat { .. }
                | Event::Silence { .. }
        )
    }

    /// Whether it happens regularly, in every run: it does not count as a step.
    pub(super) fn is_idle(&self) -> bool {
        matches!(
            self,
            Event::Beat { .. }
                | Event::Expiry { .. }
                | Event::LinkDue { .. }
                | Event::RunnerDue { .. }
                | Event::GuardDue { .. }
                | Event::Silence { .. }
        ) || matches!(
            self,
            Event::Asked { call: store::Call::KeepAlive { .. }, .. }
                | Event::Answered { answer: store::Answer::Alive { .. }, .. }
        )
    }
}
