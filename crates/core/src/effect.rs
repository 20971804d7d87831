//! The output of the core: writes, events and effects.

use std::sync::Arc;

use muster_types::{
    Acknowledgement, ApplicationRecord, ApplicationState, ApplicationUid, DriverRecord, DriverUid, Event, ExecutorId,
    ExecutorRecord, PendingReason, ProfileId, RoleBindings, TokenId, TokenRecord, WallTime, WorkerCommand,
    WorkerRecord, WorkerState, WorkerUid, Write,
};

use crate::input::{CallId, KillResult, LinkId, SessionNumber};

/// Writes, with their events and the effects that depend on them. A group is atomic: at most 64
/// records and 512 KiB. Every prefix of the groups is a legal state. The effects wait for the
/// transaction that carries the group, and for every earlier one.
#[derive(Debug, Default)]
pub struct Group {
    /// The writes to be made durable. If there are none, the effects wait for earlier groups alone.
    pub writes: Vec<Write>,
    /// The events. The commit loop collects those of a transaction into one `PutEvents`.
    pub events: Vec<Event>,
    /// The effects, in order.
    pub effects: Vec<Effect>,
}

impl Group {
    /// The changes for readers alone, in order.
    pub fn into_view_updates(self) -> impl Iterator<Item = ViewUpdate> {
        let effects = self.effects.into_iter();
        effects.filter_map(|effect| if let Effect::UpdateView(update) = effect { Some(update) } else { None })
    }
}

/// An action of the master after a write is durable.
#[derive(Debug)]
pub enum Effect {
    /// Answer a caller.
    Reply(CallId, Result<Answer, Rejection>),
    /// Welcome a worker: its hello is accepted, and its inventory is expected next. What is still
    /// queued for its older streams is dropped.
    Welcome(LinkId),
    /// Refuse a hello, and end the stream. Nothing that runs is touched.
    Refuse(LinkId, HelloRefusal),
    /// Commands, in order. Dropped if the stream is no longer the worker's present one.
    Send(LinkId, Vec<WorkerCommand>),
    /// Reports that are durable.
    Acknowledge(LinkId, Vec<Acknowledgement>),
    /// End the worker's stream, so that it sends a new hello.
    Reconnect(LinkId),
    /// Send an event to an application's session; dropped if that session is no longer the present
    /// one.
    Session(ApplicationUid, SessionNumber, ApplicationEvent),
    /// End an application's session stream: it is superseded, fenced, or over.
    EndSession(ApplicationUid, SessionNumber, SessionEnd),
    /// The loss of this worker is durable. The master calls `liveness::LivenessTable::settle`,
    /// after which a new hello of the worker is accepted. Made for every worker of an
    /// `Input::Expired`.
    WorkerLossCommitted(WorkerUid),
    /// Advance the read view. These come before the other effects of a group, so that a caller's
    /// own write is visible before its reply.
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
    /// Of create token and revoke token.
    Token(Arc<TokenRecord>),
    /// Of bind role.
    RoleBound,
}

/// Why a request was refused. Nothing was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// No driver, application, executor, worker or token of that name.
    NotFound {
        /// `driver`, `application`, `worker`, `token`.
        kind: &'static str,
        /// The name in the request.
        name: String,
    },
    /// The name is taken.
    AlreadyExists {
        /// `driver`, `application`, `token`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// The request id was used for another request.
    RequestIdReused,
    /// The request id is older than the ids that are kept.
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
        /// The attempt or session of the caller, for people.
        got: String,
        /// The present attempt or session, for people.
        have: String,
    },
    /// The state does not allow the request.
    WrongState {
        /// The object of the request, for people.
        subject: String,
        /// Why not, for people.
        message: String,
    },
    /// For a request that only validates: no known worker could take it even if the worker were
    /// empty.
    NeverFits(Box<PendingReason>),
    /// Too many of something; nothing was done.
    QueueFull {
        /// The queue that is full, for people.
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
    /// The name has the form of a uid.
    NameIsUid,
    /// The incarnation is older than the known one.
    OldIncarnation,
    /// The session is not newer than the one known.
    OldSession,
    /// The same incarnation under another boot or machine: a copied state directory.
    ClonedState,
    /// The worker joined another cluster.
    WrongCluster,
    /// An operator forgot it.
    Forgotten,
    /// An operator revoked its key.
    Revoked,
    /// Another key is recorded for it, or it shows none where one is.
    KeyMismatch,
}

impl HelloRefusal {
    /// The stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            HelloRefusal::NameTaken => "NAME_TAKEN",
            HelloRefusal::NameIsUid => "NAME_IS_UID",
            HelloRefusal::OldIncarnation => "OLD_INCARNATION",
            HelloRefusal::OldSession => "OLD_SESSION",
            HelloRefusal::ClonedState => "CLONED_STATE",
            HelloRefusal::WrongCluster => "WRONG_CLUSTER",
            HelloRefusal::Forgotten => "FORGOTTEN",
            HelloRefusal::Revoked => "REVOKED",
            HelloRefusal::KeyMismatch => "KEY_MISMATCH",
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

/// An event of an application. The master numbers them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApplicationEvent {
    /// An executor was granted.
    Added(Arc<ExecutorView>),
    /// Its process runs.
    Running(Arc<ExecutorView>),
    /// It ended; the record says how.
    Ended(Arc<ExecutorView>),
    /// Its process is gone without an exit code, while its machine is connected.
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

/// A change of the read view. Sent for every change that a reader could see, durable or not.
#[derive(Debug, Clone)]
pub enum ViewUpdate {
    /// The new view of a driver.
    Driver(Arc<DriverView>),
    /// A driver's record was removed.
    DriverGone(DriverUid),
    /// The new view of an application.
    Application(Arc<ApplicationView>),
    /// An application's record was removed, with its executors.
    ApplicationGone(ApplicationUid),
    /// The new view of an executor.
    Executor(Arc<ExecutorView>),
    /// An executor's record was removed.
    ExecutorGone(ApplicationUid, ExecutorId),
    /// The new view of a worker.
    Worker(Arc<WorkerView>),
    /// A worker's record was removed.
    WorkerGone(WorkerUid),
    /// The new record of a token.
    Token(Arc<TokenRecord>),
    /// A token's record was removed.
    TokenGone(TokenId),
    /// All roles of users and groups.
    Roles(Arc<RoleBindings>),
}

/// A driver as readers see it: the record (whose state here is the live one), with values that are
/// not durable.
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
    /// The kernel function in which its tree waits, when a kill does not end it.
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
    /// Whether its worker drains.
    pub draining: bool,
}

/// A worker as readers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerView {
    /// The record.
    pub record: Arc<WorkerRecord>,
    /// Its state.
    pub state: WorkerState,
    /// Resources in use.
    pub used: muster_types::Resources,
    /// Drivers on it that have not ended.
    pub drivers: u32,
    /// Executors on it that have not ended.
    pub executors: u32,
    /// When its present stream began.
    pub connected: Option<WallTime>,
    /// Attempts that it has and that no record names; they are left running.
    pub quarantined: Vec<String>,
}
