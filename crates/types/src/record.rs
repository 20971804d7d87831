//! Durable records, and the writes that a decision makes.
//!
//! A record is always written whole. Deadlines are never stored: a new leader starts each one anew.
//! A deadline can therefore only come too late, which is safe.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::{
    AllocatedResources, ApplicationId, ApplicationSpec, ApplicationState, ApplicationUid, AttemptNumber, Capabilities,
    Commit, DriverId, DriverSpec, DriverState, DriverUid, Event, ExecutorId, ExecutorProfile, ExecutorState,
    Incarnation, KeyDigest, KilledBy, Outcome, ProfileId, RequestId, RoleBindings, Secret, TokenDigest, TokenGrant,
    TokenId, TraceContext, WallTime, WorkerName, WorkerUid,
};

/// The cluster itself: made once, when its store is first opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterRecord {
    /// Its identity.
    pub uid: crate::ClusterUid,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: WallTime,
}

/// A driver with every attempt that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverRecord {
    /// Its identity.
    pub uid: DriverUid,
    /// Its name.
    pub id: DriverId,
    /// The spec that was submitted.
    pub spec: Arc<DriverSpec>,
    /// The request that made it, if it carried an id.
    pub request: Option<RequestId>,
    /// The user who submitted it; `None` where there were no credentials. It never changes.
    pub owner: Option<Arc<str>>,
    /// The span of its submission, below which each attempt goes on, whoever leads by then.
    pub trace: Option<TraceContext>,
    /// Its state at the last write, with `Launching` in place of `Unreachable` and `Unconfirmed`,
    /// which depend on the worker's connection. The step from `Launching` to `Running` is not
    /// written.
    pub state: DriverState,
    /// When it was accepted.
    pub created: WallTime,
    /// When it last changed.
    pub updated: WallTime,
    /// When it reached a terminal state.
    pub ended: Option<WallTime>,
    /// The newest attempts, oldest first; at most [`KEPT_ATTEMPTS`].
    pub attempts: Vec<AttemptRecord>,
    /// A kill that was asked for.
    pub kill: Option<KillRecord>,
    /// When the program failed within the restart window; at most `max_attempts`.
    pub failures: Vec<WallTime>,
    /// Failures in a row without a run long enough to reset the back-off.
    pub consecutive_failures: u32,
    /// The store's generation when it was accepted, from 1. A later generation means that the store
    /// was restored since.
    pub generation: u64,
    /// Raised with each write of the record.
    pub version: u64,
}

/// Attempts kept in a driver's record: enough to show the course of a crash loop, few enough to
/// bound the record's size.
pub const KEPT_ATTEMPTS: usize = 32;

/// One attempt of a driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRecord {
    /// Its number.
    pub number: AttemptNumber,
    /// The worker it was assigned to.
    pub worker: WorkerUid,
    /// That worker's name then.
    pub worker_name: WorkerName,
    /// That worker's incarnation then.
    pub incarnation: Incarnation,
    /// The resources that it was given.
    pub resources: AllocatedResources,
    /// The token with which its process acts for the driver.
    pub token: Secret,
    /// When it was assigned.
    pub assigned: WallTime,
    /// When its process started, if that was known at the last write.
    pub started: Option<WallTime>,
    /// When it was closed.
    pub ended: Option<WallTime>,
    /// How it ended. `Some` exactly when the attempt is closed.
    pub outcome: Option<Outcome>,
    /// Whether its launch made no progress and was taken back: a kill is sent for it, and if that
    /// ends it, the launch has failed.
    pub launch_timed_out: bool,
}

/// A kill that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KillRecord {
    /// Who asked first.
    pub by: KilledBy,
    /// The ids of the newest requests that asked, as far as they had one; at most 8.
    pub requests: Vec<RequestId>,
    /// When it was first asked for.
    pub asked: WallTime,
}

/// An application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicationRecord {
    /// Its identity.
    pub uid: ApplicationUid,
    /// Its name.
    pub id: ApplicationId,
    /// The spec that was registered.
    pub spec: Arc<ApplicationSpec>,
    /// The request that made it, if it carried an id.
    pub request: Option<RequestId>,
    /// The attempt of a driver that it belongs to; `None` in client mode.
    pub driver: Option<(DriverUid, DriverId, AttemptNumber)>,
    /// The user who registered it, or who owns its driver; `None` where there were no credentials.
    /// It never changes.
    pub owner: Option<Arc<str>>,
    /// The span of its registration, below which its executors go on.
    pub trace: Option<TraceContext>,
    /// Its state; `Disconnected` is not stored.
    pub state: ApplicationState,
    /// Its state after `Ending`, who ended it, and why.
    pub ending: Option<EndingRecord>,
    /// Wanted executors by profile: totals, not increments.
    pub targets: BTreeMap<ProfileId, u32>,
    /// Profiles that were added after registration.
    pub added_profiles: BTreeMap<ProfileId, ExecutorProfile>,
    /// Preferred hosts with counts, by profile.
    pub preferred_hosts: BTreeMap<ProfileId, BTreeMap<String, u32>>,
    /// Hosts on which nothing new is placed.
    pub excluded_hosts: BTreeSet<String>,
    /// Sequence of the newest request for executors.
    pub sequence: u64,
    /// The number of the next executor.
    pub next_executor: ExecutorId,
    /// Sequence of the next [`ExecutorsRecord`].
    pub next_executors_record: u64,
    /// When programs of executors failed within the window.
    pub failures: Vec<WallTime>,
    /// Newest requests that changed it; at most 32.
    pub requests: Vec<RequestId>,
    /// When it was registered.
    pub created: WallTime,
    /// When it last changed.
    pub updated: WallTime,
    /// When it ended.
    pub ended: Option<WallTime>,
    /// The store's generation when it was registered, from 1.
    pub generation: u64,
    /// Raised with each write of the record.
    pub version: u64,
}

/// How an application ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndingRecord {
    /// `Finished`, `Failed` or `Killed`.
    pub state: ApplicationState,
    /// `application`, `operator`, `driver` or `session`.
    pub by: String,
    /// Why, for people.
    pub message: String,
}

/// What one commit changed in the executors of one application. To read an application's executors,
/// go through its records in the order of their sequence: a later entry of an executor replaces an
/// earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutorsRecord {
    /// The application.
    pub application: ApplicationUid,
    /// Grows with each record of the application.
    pub sequence: u64,
    /// The executors as they are after the commit.
    pub executors: Vec<ExecutorRecord>,
}

/// One executor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutorRecord {
    /// Its number.
    pub id: ExecutorId,
    /// Its profile.
    pub profile: ProfileId,
    /// The worker it was assigned to.
    pub worker: WorkerUid,
    /// That worker's name then.
    pub worker_name: WorkerName,
    /// Reachable name of that worker's machine.
    pub host: String,
    /// That worker's incarnation then.
    pub incarnation: Incarnation,
    /// The resources that it was given.
    pub resources: AllocatedResources,
    /// Its state.
    pub state: ExecutorState,
    /// Who asked for its end.
    pub killed_by: Option<KilledBy>,
    /// When it was assigned.
    pub created: WallTime,
    /// When its process started, if that was known at the last write.
    pub started: Option<WallTime>,
    /// When it was closed.
    pub ended: Option<WallTime>,
    /// How it ended. `Some` exactly when it is closed.
    pub outcome: Option<Outcome>,
    /// Whether its launch made no progress and was taken back, as for an [`AttemptRecord`].
    pub launch_timed_out: bool,
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerRecord {
    /// Its identity.
    pub uid: WorkerUid,
    /// Its name.
    pub name: WorkerName,
    /// The machine it is bound to.
    pub machine_id: String,
    /// The boot that its incarnation is valid for.
    pub boot_id: String,
    /// The newest incarnation known.
    pub incarnation: Incarnation,
    /// All it has.
    pub total: AllocatedResources,
    /// What its machine can enforce.
    pub capabilities: Capabilities,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Names of the variables it defines.
    pub variables: BTreeSet<String>,
    /// Reachable name of its machine.
    pub host: String,
    /// Address of its own gRPC service.
    pub address: String,
    /// Version of its agent.
    pub version: String,
    /// A drain that was asked for.
    pub drain: Option<DrainRecord>,
    /// The newest requests that changed it; at most 8.
    pub requests: Vec<RequestId>,
    /// Declared lost: past its deadline, with its leased attempts closed.
    pub lost: bool,
    /// Refused for ever.
    pub forgotten: bool,
    /// The key that its certificates are for, once it has shown one. No other key is taken for it.
    pub key: Option<KeyDigest>,
    /// Its key was revoked: it is refused from then on.
    pub revoked: bool,
    /// When it first registered.
    pub created: WallTime,
}

/// A drain that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainRecord {
    /// When the drain was asked for.
    pub asked: WallTime,
    /// How long after `asked` the remaining attempts are ended. A length, because deadlines are not
    /// stored: a new leader starts it anew.
    pub deadline: Option<std::time::Duration>,
}

/// A token of a user or a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// Its id, which is part of its text.
    pub id: TokenId,
    /// The user, or the worker.
    pub name: String,
    /// What its secret is known by.
    pub digest: TokenDigest,
    /// What it is for.
    pub grant: TokenGrant,
    /// When it was made.
    pub created: WallTime,
    /// When it expires; `None`: never.
    pub expires: Option<WallTime>,
    /// The caller who made it.
    pub created_by: String,
    /// When it was revoked.
    pub revoked: Option<WallTime>,
    /// The token that its user made it with: it is good no longer than that one.
    pub parent: Option<TokenId>,
}

impl TokenRecord {
    /// When it is no longer good: when it was revoked, else when it expires.
    pub fn ends(&self) -> Option<WallTime> {
        self.revoked.into_iter().chain(self.expires).min()
    }
}

/// The events of one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventsRecord {
    /// The commit.
    pub commit: Commit,
    /// Its events, in order.
    pub events: Vec<Event>,
}

/// One change of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Make or replace.
    PutDriver(Arc<DriverRecord>),
    /// Remove.
    DeleteDriver(DriverUid),
    /// Make or replace.
    PutApplication(Arc<ApplicationRecord>),
    /// Remove.
    DeleteApplication(ApplicationUid),
    /// Make.
    PutExecutors(Arc<ExecutorsRecord>),
    /// Remove.
    DeleteExecutors(ApplicationUid, u64),
    /// Make or replace.
    PutWorker(Arc<WorkerRecord>),
    /// Remove.
    DeleteWorker(WorkerUid),
    /// Make or replace.
    PutToken(Arc<TokenRecord>),
    /// Remove.
    DeleteToken(TokenId),
    /// Replace all of them.
    PutRoles(Arc<RoleBindings>),
    /// Make.
    PutEvents(Arc<EventsRecord>),
    /// Remove.
    DeleteEvents(Commit),
}

/// All that a store holds, as loaded by a new leader.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// The newest commit.
    pub commit: Commit,
    /// Drivers, by uid.
    pub drivers: Vec<Arc<DriverRecord>>,
    /// Applications, by uid.
    pub applications: Vec<Arc<ApplicationRecord>>,
    /// Executor records, by application and sequence.
    pub executors: Vec<Arc<ExecutorsRecord>>,
    /// Workers, by uid.
    pub workers: Vec<Arc<WorkerRecord>>,
    /// Tokens, by id.
    pub tokens: Vec<Arc<TokenRecord>>,
    /// Roles of users and groups.
    pub roles: Arc<RoleBindings>,
    /// Events, by commit.
    pub events: Vec<Arc<EventsRecord>>,
    /// Records that could not be read. Nothing that they name is placed.
    pub quarantined: Vec<QuarantinedRecord>,
}

impl Snapshot {
    /// The writes that produce it. Records that could not be read are not among them.
    pub fn into_writes(self) -> impl Iterator<Item = Write> {
        let Snapshot { commit: _, drivers, applications, executors, workers, tokens, roles, events, quarantined: _ } =
            self;
        let drivers = drivers.into_iter().map(Write::PutDriver);
        let applications = applications.into_iter().map(Write::PutApplication);
        let executors = executors.into_iter().map(Write::PutExecutors);
        let workers = workers.into_iter().map(Write::PutWorker);
        let tokens = tokens.into_iter().map(Write::PutToken);
        let roles = (!roles.0.is_empty()).then_some(Write::PutRoles(roles));
        let events = events.into_iter().map(Write::PutEvents);
        drivers.chain(applications).chain(executors).chain(workers).chain(tokens).chain(roles).chain(events)
    }
}

/// A record that could not be read. It is left as it is and shown to operators; nothing that it
/// names is placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantinedRecord {
    /// Its key in the store, for people.
    pub key: String,
    /// Why it could not be read.
    pub error: String,
}
