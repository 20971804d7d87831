//! What the core wants done.

use std::sync::Arc;

use muster_types::{
    Acknowledgement, ApplicationRecord, ApplicationState, ApplicationUid, DriverRecord, DriverUid, Event, ExecutorId,
    ExecutorRecord, PendingReason, ProfileId, WallTime, WorkerCommand, WorkerRecord, WorkerState, WorkerUid, Write,
};

use crate::input::{CallId, KillResult, LinkId, SessionNumber};

/// Writes with the events they make and the effects that depend on them. Atomic: at most 64 records
/// and 512 KiB. Every prefix of groups is a legal state; the effects wait for the transaction that
/// carries the group, and for every earlier one.
#[derive(Debug, Default)]
pub struct Group {
    /// What is made durable. May be empty: then the effects wait for earlier groups alone.
    pub writes: Vec<Write>,
    /// What happened; the commit loop gathers the events of a transaction into one `PutEvents`.
    pub events: Vec<Event>,
    /// What follows, in order.
    pub effects: Vec<Effect>,
}

/// What follows a write.
#[derive(Debug)]
pub enum Effect {
    /// Answer a caller.
    Reply(CallId, Result<Answer, Rejection>),
    /// Welcome a worker: its hello is taken; what older streams of it still hold is dropped. Its
    /// inventory is expected next.
    Welcome(LinkId),
    /// Refuse a hello, and end the stream. Nothing that runs is touched.
    Refuse(LinkId, HelloRefusal),
    /// Commands, in order. Dropped if the stream is no longer the worker's present one.
    Send(LinkId, Vec<WorkerCommand>),
    /// Reports that are durable.
    Acknowledge(LinkId, Vec<Acknowledgement>),
    /// End the worker's stream and have it say hello anew.
    Reconnect(LinkId),
    /// Tell an application's session; dropped if that session is no longer the present one.
    Session(ApplicationUid, SessionNumber, ApplicationEvent),
    /// End an application's session stream: cut by a newer one, fenced, or over.
    EndSession(ApplicationUid, SessionNumber, SessionEnd),
    /// The loss of this worker is durable: call `liveness::LivenessTable::settle`, after which a
    /// new hello of it is taken. Made for every worker of an `Input::Expired`.
    WorkerLossCommitted(WorkerUid),
    /// Advance the read view. A group's `Show`s stand before its other effects, so that a caller's
    /// own write is seen before its reply.
    UpdateView(ViewUpdate),
}

/// An answer to a caller.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Of submit, kill and explain.
    Driver(Arc<DriverView>),
    /// Of register, unregister, kill and explain.
    Application(Arc<ApplicationView>),
    /// Of drain, undrain and forget.
    Worker(Arc<WorkerView>),
    /// Of open session: the number, and the executors that have not ended.
    Session(ApplicationUid, SessionNumber, Vec<Arc<ExecutorView>>),
    /// Of request executors: whether the targets were taken, and the newest sequence.
    Targets(bool, u64),
    /// Of kill executors, in the order of the request.
    Killed(Vec<(ExecutorId, KillResult)>),
}

/// Why a caller's wish was refused. Nothing was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// No driver, application, executor or worker of that name.
    NotFound {
        /// `driver`, `application`, `worker`.
        kind: &'static str,
        /// What was asked for.
        name: String,
    },
    /// The name is taken.
    AlreadyExists {
        /// `driver`, `application`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// The request id was used for another body.
    RequestIdReused,
    /// The request id is older than what is kept.
    RequestIdExpired,
    /// The record has another version.
    VersionMismatch {
        /// The caller's.
        wanted: u64,
        /// The record's.
        found: u64,
    },
    /// The attempt or session that the caller acts for is no longer the present one.
    Fenced {
        /// What the caller holds, for people.
        got: String,
        /// What is present, for people.
        have: String,
    },
    /// The request does not suit the state.
    WrongState {
        /// What it is about, for people.
        subject: String,
        /// Why not, for people.
        message: String,
    },
    /// With validate only: no worker known could take it even if it were empty.
    NeverFits(Box<PendingReason>),
    /// Too many of something; nothing was done.
    QueueFull {
        /// What is full, for people.
        what: String,
    },
    /// A field that only the core can judge is wrong.
    BadField {
        /// Its path.
        field: String,
        /// What is wrong and what would be right.
        message: String,
    },
}

/// Why a hello was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HelloRefusal {
    /// Another live worker has the name.
    NameTaken,
    /// The incarnation is not newer than, nor equal to, the one known.
    OldIncarnation,
    /// The session is not newer than the one known.
    OldSession,
    /// The same incarnation under another boot or machine: a copied state directory.
    ClonedState,
    /// The worker joined another cluster.
    WrongCluster,
    /// An operator forgot it.
    Forgotten,
}

impl HelloRefusal {
    /// The stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            HelloRefusal::NameTaken => "NAME_TAKEN",
            HelloRefusal::OldIncarnation => "OLD_INCARNATION",
            HelloRefusal::OldSession => "OLD_SESSION",
            HelloRefusal::ClonedState => "CLONED_STATE",
            HelloRefusal::WrongCluster => "WRONG_CLUSTER",
            HelloRefusal::Forgotten => "FORGOTTEN",
        }
    }
}

/// Why an application's session stream ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionEnd {
    /// A newer session was opened.
    Superseded,
    /// The attempt that the application belongs to is closed.
    Fenced,
    /// The application has ended (its last event says how).
    Ended,
}

/// One thing that happened to an application. The master numbers them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApplicationEvent {
    /// An executor was granted.
    Added(Arc<ExecutorView>),
    /// Its process runs.
    Running(Arc<ExecutorView>),
    /// It ended; the record says how.
    Ended(Arc<ExecutorView>),
    /// Its process is gone without an exit code, while its machine stands.
    ProcessLost(Arc<ExecutorView>),
    /// Its worker is lost.
    WorkerLost(Arc<ExecutorView>),
    /// Its worker drains; the deadline if there is one.
    Draining(Arc<ExecutorView>, Option<WallTime>),
    /// A target is not met.
    Pending {
        /// The profile.
        profile: ProfileId,
        /// Executors missing.
        missing: u32,
        /// Why.
        reason: PendingReason,
    },
    /// The application has ended.
    ApplicationEnded {
        /// How.
        state: ApplicationState,
        /// By whom.
        by: String,
        /// Why, for people.
        message: String,
    },
}

/// A change of the read view. Sent with every change that a reader could see, durable or not.
#[derive(Debug, Clone)]
pub enum ViewUpdate {
    /// A driver is now this.
    Driver(Arc<DriverView>),
    /// A driver's record was removed.
    DriverGone(DriverUid),
    /// An application is now this.
    Application(Arc<ApplicationView>),
    /// An application's record was removed, with its executors.
    ApplicationGone(ApplicationUid),
    /// An executor is now this.
    Executor(Arc<ExecutorView>),
    /// An executor's record was removed.
    ExecutorGone(ApplicationUid, ExecutorId),
    /// A worker is now this.
    Worker(Arc<WorkerView>),
    /// A worker's record was removed.
    WorkerGone(WorkerUid),
}

/// A driver as readers see it: the record (whose state here is the live one) and what is not
/// durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverView {
    /// The record.
    pub record: Arc<DriverRecord>,
    /// Process id of the main process, while it runs.
    pub pid: Option<u32>,
    /// When the next attempt may start, while backing off.
    pub retry: Option<WallTime>,
    /// Why it waits; filled by explain and by validate only.
    pub pending: Option<PendingReason>,
    /// What its tree waits for in the kernel, when a kill does not end it.
    pub wait_channel: Option<String>,
    /// Names of the applications that it registered and that are kept.
    pub applications: Vec<muster_types::ApplicationId>,
}

/// An application as readers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicationView {
    /// The record (whose state here is the live one).
    pub record: Arc<ApplicationRecord>,
    /// The number of the present session, 0 before the first.
    pub session: SessionNumber,
    /// Per profile: target, running, launching, and (filled by explain) why the target is not met.
    pub profiles: Vec<ProfileView>,
}

/// One profile of an application as readers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileView {
    /// The profile.
    pub profile: ProfileId,
    /// Executors wanted.
    pub target: u32,
    /// Executors that run.
    pub running: u32,
    /// Executors launched and not yet running.
    pub launching: u32,
    /// Why the target is not met; filled by explain.
    pub pending: Option<PendingReason>,
}

/// An executor as readers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutorView {
    /// Uid of the application.
    pub application: ApplicationUid,
    /// Name of the application.
    pub application_id: muster_types::ApplicationId,
    /// The record (whose state here is the live one).
    pub record: Arc<ExecutorRecord>,
    /// Process id of the main process, while it runs.
    pub pid: Option<u32>,
    /// Its worker drains.
    pub draining: bool,
}

/// A worker as readers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerView {
    /// The record.
    pub record: Arc<WorkerRecord>,
    /// Where it stands.
    pub state: WorkerState,
    /// What is taken.
    pub used: muster_types::Resources,
    /// Drivers on it that have not ended.
    pub drivers: u32,
    /// Executors on it that have not ended.
    pub executors: u32,
    /// When its present stream began.
    pub connected: Option<WallTime>,
    /// Attempts that it runs and no record names, left running.
    pub quarantined: Vec<String>,
}
