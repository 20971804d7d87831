//! What the core is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use muster_types::{
    ApplicationId, ApplicationSpec, ApplicationUid, AttemptKey, DriverId, DriverSpec, ExecutorId, ExecutorProfile,
    Hello, KilledBy, ProfileId, Report, RequestId, Session, WorkerUid,
};

/// The caller that waits for an answer; numbered by the master, meaningless to the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// The number of an application's session: raised by the core with each opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionNumber(pub u64);

/// A source of numbers that are never used again and cannot be guessed: uids, tokens, jitter. A
/// test passes a counter.
pub trait Entropy {
    /// 128 fresh bits.
    fn next(&mut self) -> u128;
}

/// One thing that the core is told. Those that make no sense are answered by a rejection or
/// ignored, never by an error.
#[derive(Debug, Clone)]
pub enum Input {
    /// A client asks.
    Call(CallId, Request),
    /// An application's session stream ended, whoever ended it. Ignored unless this is its present
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
    /// Time has passed. `Core::next_deadline` says when this is needed.
    Tick,
}

/// One stream of one worker: the worker's uid and its session. Sends name the stream that they are
/// for, and die with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId {
    /// The worker.
    pub worker: WorkerUid,
    /// The session of its hello.
    pub session: Session,
}

/// What a client asks. Specs are complete and within their bounds: that is checked at the door.
#[derive(Debug, Clone)]
pub enum Request {
    /// Accept a driver.
    SubmitDriver {
        /// Chosen name; `None` has the core make one (`driver-` and 12 characters of its uid).
        id: Option<DriverId>,
        /// What to run.
        spec: Arc<DriverSpec>,
        /// Makes it idempotent.
        request: Option<RequestId>,
        /// Only say what would happen.
        validate_only: bool,
    },
    /// End a driver.
    KillDriver {
        /// Name or uid.
        driver: String,
        /// Makes it idempotent.
        request: Option<RequestId>,
        /// Only if the record still has this version.
        version: Option<u64>,
        /// Who asks.
        by: KilledBy,
    },
    /// Say why a driver waits: answered with `Answer::Driver`.
    ExplainDriver {
        /// Name or uid.
        driver: String,
    },
    /// Register an application.
    RegisterApplication {
        /// Chosen name; `None` has the core make one (`app-` and 12 characters of its uid).
        id: Option<ApplicationId>,
        /// What is registered.
        spec: Arc<ApplicationSpec>,
        /// Makes it idempotent.
        request: Option<RequestId>,
        /// The token of a cluster-mode driver.
        token: Option<String>,
    },
    /// Open an application's session: answered with `Answer::Session`, then `Effect::Session`
    /// follow.
    OpenSession {
        /// Name or uid.
        application: String,
        /// The token of a cluster-mode driver.
        token: Option<String>,
    },
    /// Say where an application stands, with why its targets are not met: answered with
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
        /// Must grow.
        sequence: u64,
        /// Absolute targets.
        targets: Vec<ProfileTarget>,
        /// Hosts on which nothing new is placed.
        excluded_hosts: BTreeSet<String>,
        /// Makes it idempotent.
        request: Option<RequestId>,
    },
    /// End executors.
    KillExecutors {
        /// Name or uid.
        application: String,
        /// The token of a cluster-mode driver.
        token: Option<String>,
        /// Which.
        executors: Vec<ExecutorId>,
        /// Keep the target.
        replace: bool,
        /// Makes it idempotent.
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
        /// Before what remains is killed.
        grace: Duration,
        /// Makes it idempotent.
        request: Option<RequestId>,
    },
    /// End an application, as an operator.
    KillApplication {
        /// Name or uid.
        application: String,
        /// Makes it idempotent.
        request: Option<RequestId>,
    },
    /// Place nothing more on a worker.
    Drain {
        /// Name or uid.
        worker: String,
        /// Makes it idempotent.
        request: Option<RequestId>,
        /// After this, end what still runs.
        deadline: Option<Duration>,
    },
    /// Undo a drain.
    Undrain {
        /// Name or uid.
        worker: String,
        /// Makes it idempotent.
        request: Option<RequestId>,
    },
    /// Refuse a worker for ever, and close what it had.
    Forget {
        /// Name or uid.
        worker: String,
        /// Makes it idempotent.
        request: Option<RequestId>,
    },
    /// Close one attempt, which its worker does not have.
    ForgetAttempt {
        /// Name or uid of the worker.
        worker: String,
        /// The attempt.
        attempt: AttemptKey,
        /// Makes it idempotent.
        request: Option<RequestId>,
    },
    /// End an attempt that no record names.
    EndQuarantined {
        /// Name or uid.
        worker: String,
        /// The attempt.
        attempt: AttemptKey,
        /// Makes it idempotent.
        request: Option<RequestId>,
    },
}

/// A request for executors of one profile.
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

/// What became of one executor that was to be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillResult {
    /// It is being killed.
    Killed,
    /// No such executor was ever granted.
    Unknown,
    /// It had ended, or was being killed already.
    AlreadyGone,
}

/// An attempt that a worker runs and that no record names, after the store's generation was raised:
/// left running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The worker.
    pub worker: WorkerUid,
    /// The attempt.
    pub attempt: AttemptKey,
}
