//! The input of the core.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use muster_types::{
    ApplicationId, ApplicationSpec, ApplicationUid, AttemptKey, DriverId, DriverSpec, ExecutorId, ExecutorProfile,
    Hello, KilledBy, Principal, ProfileId, Report, RequestId, Role, Session, TokenDigest, TokenGrant, TokenId,
    TraceContext, WallTime, WorkerUid,
};

/// A caller that waits for an answer. The master numbers callers; the core only passes the number
/// on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// The number of an application's session. The core raises it whenever a session is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionNumber(pub u64);

/// A source of numbers that do not repeat and cannot be guessed, for uids, tokens and jitter. A
/// test passes a counter.
pub trait Entropy {
    /// 128 fresh bits.
    fn next(&mut self) -> u128;
}

/// One input. Invalid inputs are answered with a rejection or ignored; they are never an error.
#[derive(Debug, Clone)]
pub enum Input {
    /// A client's request.
    Call(CallId, Request),
    /// An application's session stream ended, on either side. Ignored unless this is its present
    /// session.
    SessionBroken(ApplicationUid, SessionNumber),
    /// A worker said hello on a new stream. Answered by `Effect::Welcome` or `Effect::Refuse`.
    Hello(LinkId, Box<Hello>),
    /// A part of the worker's inventory; `complete` on the last part.
    Inventory(LinkId, Vec<Report>, bool),
    /// Reports of a worker that has been welcomed.
    Reports(LinkId, Vec<Report>),
    /// The worker's stream ended. Ignored unless it is the present one.
    LinkBroken(LinkId),
    /// The liveness table has marked these workers lost (it did so before this was queued).
    Expired(Vec<WorkerUid>),
    /// Time has passed. `Core::next_deadline` tells when this is needed.
    Tick,
}

/// One stream of one worker: the worker's uid and its session. Each send names its stream, and is
/// dropped when that stream is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId {
    /// The worker.
    pub worker: WorkerUid,
    /// The session of its hello.
    pub session: Session,
}

/// A client's request. Specs are complete and within their bounds: this is checked when a message
/// is decoded.
#[derive(Debug, Clone)]
pub enum Request {
    /// Accept a driver.
    SubmitDriver {
        /// Chosen name; `None` has the core make one (`driver-` and 12 characters of its uid).
        id: Option<DriverId>,
        /// The driver's spec.
        spec: Arc<DriverSpec>,
        /// Makes the request idempotent.
        request: Option<RequestId>,
        /// The user who submits it.
        owner: Option<Arc<str>>,
        /// The span of the submission.
        trace: Option<TraceContext>,
        /// Only report what would happen.
        validate_only: bool,
    },
    /// End a driver.
    KillDriver {
        /// Name or uid.
        driver: String,
        /// Makes the request idempotent.
        request: Option<RequestId>,
        /// Refuse the request unless the record has this version.
        version: Option<u64>,
        /// Who asks.
        by: KilledBy,
    },
    /// Explain why a driver waits. Answered with `Answer::Driver`.
    ExplainDriver {
        /// Name or uid.
        driver: String,
    },
    /// Register an application.
    RegisterApplication {
        /// Chosen name; `None` has the core make one (`app-` and 12 characters of its uid).
        id: Option<ApplicationId>,
        /// The application's spec.
        spec: Arc<ApplicationSpec>,
        /// The user who registers it. Its driver's owner stands above.
        owner: Option<Arc<str>>,
        /// The span of the registration.
        trace: Option<TraceContext>,
        /// Makes the request idempotent.
        request: Option<RequestId>,
        /// The token of a cluster-mode driver.
        token: Option<String>,
    },
    /// Open an application's session. Answered with `Answer::Session`; then `Effect::Session`
    /// follow.
    OpenSession {
        /// Name or uid.
        application: String,
        /// The token of a cluster-mode driver.
        token: Option<String>,
    },
    /// Report the state of an application and why its targets are not met. Answered with
    /// `Answer::Application`.
    ExplainApplication {
        /// Name or uid.
        application: String,
    },
    /// Set targets.
    RequestExecutors {
        /// Name or uid.
        application: String,
        /// The token of a cluster-mode driver.
        token: Option<String>,
        /// Must be larger than in the last request.
        sequence: u64,
        /// Targets of profiles, which replace the earlier ones.
        targets: Vec<ProfileTarget>,
        /// Hosts on which nothing new is placed.
        excluded_hosts: BTreeSet<String>,
        /// Makes the request idempotent.
        request: Option<RequestId>,
    },
    /// End executors.
    KillExecutors {
        /// Name or uid.
        application: String,
        /// The token of a cluster-mode driver.
        token: Option<String>,
        /// The executors to end.
        executors: Vec<ExecutorId>,
        /// Keep the target.
        replace: bool,
        /// Makes the request idempotent.
        request: Option<RequestId>,
    },
    /// End an application.
    Unregister {
        /// Name or uid.
        application: String,
        /// The token of a cluster-mode driver.
        token: Option<String>,
        /// Whether it succeeded.
        success: bool,
        /// For people.
        message: String,
        /// How long the remaining executors may run before they are killed.
        grace: Duration,
        /// Makes the request idempotent.
        request: Option<RequestId>,
    },
    /// End an application, as an operator.
    KillApplication {
        /// Name or uid.
        application: String,
        /// Makes the request idempotent.
        request: Option<RequestId>,
    },
    /// Place nothing more on a worker.
    Drain {
        /// Name or uid.
        worker: String,
        /// Makes the request idempotent.
        request: Option<RequestId>,
        /// How long attempts may run before they are ended.
        deadline: Option<Duration>,
    },
    /// Undo a drain.
    Undrain {
        /// Name or uid.
        worker: String,
        /// Makes the request idempotent.
        request: Option<RequestId>,
    },
    /// Refuse a worker for ever, and close its attempts.
    Forget {
        /// Name or uid.
        worker: String,
        /// Makes the request idempotent.
        request: Option<RequestId>,
    },
    /// Take a worker's key from it: its stream ends, and it is refused from now on.
    Revoke {
        /// Name or uid.
        worker: String,
        /// Makes the request idempotent.
        request: Option<RequestId>,
    },
    /// Close one attempt, which its worker does not have.
    ForgetAttempt {
        /// Name or uid of the worker.
        worker: String,
        /// The attempt.
        attempt: AttemptKey,
        /// Makes the request idempotent.
        request: Option<RequestId>,
    },
    /// End an attempt that no record names.
    EndQuarantined {
        /// Name or uid.
        worker: String,
        /// The attempt.
        attempt: AttemptKey,
        /// Makes the request idempotent.
        request: Option<RequestId>,
    },
    /// Make a token. A repetition with equal fields has the same answer.
    CreateToken {
        /// The token.
        token: TokenSpec,
        /// The caller.
        by: String,
    },
    /// Make a token worthless. Its record stays for a while.
    RevokeToken {
        /// The token.
        token: TokenId,
        /// The caller.
        by: String,
    },
    /// Bind a role to a user or a group, in place of the one before; or none.
    BindRole {
        /// Whose.
        principal: Principal,
        /// The role; `None`: none.
        role: Option<Role>,
        /// The caller.
        by: String,
    },
}

/// A token that a client has made: the client alone knows the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSpec {
    /// Its id.
    pub id: TokenId,
    /// The user, or the worker.
    pub name: String,
    /// What its secret is known by.
    pub digest: TokenDigest,
    /// What it is for.
    pub grant: TokenGrant,
    /// How long it is good for; `None`: until it is revoked.
    pub ttl: Option<Duration>,
    /// The token of its user with which it is made, and when that ends; `None`: by an admin, or for
    /// workers.
    pub parent: Option<ParentToken>,
}

/// The token with which a user makes another of its own, which is good no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParentToken {
    /// Its id.
    pub id: TokenId,
    /// When it expires; `None`: never.
    pub expires: Option<WallTime>,
}

/// The target of one profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileTarget {
    /// The profile.
    pub profile: ProfileId,
    /// Executors wanted in all.
    pub target: u32,
    /// Adds the profile when it does not exist.
    pub new_profile: Option<ExecutorProfile>,
    /// Hosts that are preferred, with how many executors each.
    pub preferred_hosts: BTreeMap<String, u32>,
}

/// The result of the request to kill one executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillResult {
    /// It is being killed.
    Killed,
    /// No such executor was ever granted.
    Unknown,
    /// It had ended, or was being killed already.
    AlreadyGone,
}

/// An attempt that a worker runs and that no record names, after the store's generation was raised.
/// It is left running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The worker.
    pub worker: WorkerUid,
    /// The attempt.
    pub attempt: AttemptKey,
}
