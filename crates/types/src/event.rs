//! Events, in the order in which they happened. The commit loop numbers them (commit, index).

use crate::{
    ApplicationId, ApplicationState, ApplicationUid, AttemptNumber, DriverId, DriverState, DriverUid, ExecutorId,
    ExecutorState, Outcome, Principal, ProfileId, Role, TokenId, WallTime, WorkerName, WorkerState, WorkerUid,
};

/// A change of a driver, application, executor, worker or token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When it happened.
    pub time: WallTime,
    /// A sentence for people; may be empty.
    pub message: String,
    /// The object that changed.
    pub subject: Subject,
}

/// The object of an event, with its new state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A driver changed.
    Driver {
        /// Its name.
        id: DriverId,
        /// Its uid.
        uid: DriverUid,
        /// New state.
        state: DriverState,
        /// The attempt, once there is one.
        attempt: Option<AttemptNumber>,
        /// The worker, once there is one.
        worker: Option<WorkerName>,
        /// How the attempt ended, if it did.
        outcome: Option<Outcome>,
    },
    /// An application changed.
    Application {
        /// Its name.
        id: ApplicationId,
        /// Its uid.
        uid: ApplicationUid,
        /// New state.
        state: ApplicationState,
    },
    /// An executor changed.
    Executor {
        /// Name of the application.
        application: ApplicationId,
        /// Uid of the application.
        uid: ApplicationUid,
        /// Its number.
        executor: ExecutorId,
        /// Its profile.
        profile: ProfileId,
        /// New state.
        state: ExecutorState,
        /// Its worker.
        worker: WorkerName,
        /// How it ended, if it did.
        outcome: Option<Outcome>,
    },
    /// A worker changed.
    Worker {
        /// Its name.
        name: WorkerName,
        /// Its uid.
        uid: WorkerUid,
        /// New state.
        state: WorkerState,
        /// Whether it drains.
        draining: bool,
    },
    /// A token was made or revoked.
    Token {
        /// Its id.
        id: TokenId,
        /// The user or worker that it is for.
        name: String,
        /// Whether it is revoked.
        revoked: bool,
    },
    /// A role was bound to a user or a group, or is no longer.
    RoleBinding {
        /// Whose.
        principal: Principal,
        /// The role; `None`: none any more.
        role: Option<Role>,
    },
}
