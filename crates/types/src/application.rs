//! Applications and executors.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::{Artifact, Command, Resources, RestartPolicy};

/// A profile's number, chosen by the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProfileId(pub u32);

/// A kind of executor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutorProfile {
    /// Its number.
    pub id: ProfileId,
    /// Resources of each executor. With `cores == 0`, each placement pass puts at most one executor
    /// on a worker and gives it all the cores that are free.
    pub resources: Resources,
    /// Executors wanted at first.
    pub target: u32,
    /// Variables of this profile.
    pub variables: BTreeMap<String, String>,
    /// Replaces the application's template.
    pub template: Option<Arc<ExecutorTemplate>>,
}

/// The program of an executor, with its files and limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutorTemplate {
    /// The program.
    pub command: Arc<Command>,
    /// Files to fetch first.
    pub artifacts: Arc<[Artifact]>,
    /// Component name in `RESOURCES_FILE`.
    pub resources_component: Arc<str>,
    /// Time between TERM and KILL.
    pub kill_grace: Duration,
    /// Kept size of each output file in bytes.
    pub log_limit: u64,
}

/// What happens when a session is broken for longer than its grace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SessionLostPolicy {
    /// The application ends.
    #[default]
    End,
    /// The application stays and may be resumed at any time.
    Keep,
}

/// The spec of an application, with every default filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicationSpec {
    /// Name for people.
    pub name: String,
    /// User; for display only.
    pub user: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Address of its own web pages; for display only.
    pub ui_address: String,
    /// Kinds of executors at registration.
    pub profiles: BTreeMap<ProfileId, ExecutorProfile>,
    /// The program of executors.
    pub template: Arc<ExecutorTemplate>,
    /// Cores of all executors together; 0 is the cluster's default.
    pub max_cores: u32,
    /// How long a broken session may take to resume.
    pub session_grace: Duration,
    /// What happens when that time is over.
    pub on_session_lost: SessionLostPolicy,
    /// Back-off, failure limit and window of executors.
    pub executor_restart: RestartPolicy,
    /// Labels that the workers must carry.
    pub worker_selector: BTreeMap<String, String>,
}

/// Default grace of a session.
pub const DEFAULT_SESSION_GRACE: Duration = Duration::from_secs(60);

/// The state of an application.
///
/// `Waiting → Running → Ending → Finished | Failed | Killed`; `Waiting | Running → Disconnected`
/// when its session breaks, and back when it resumes within the grace, else `Ending`. `Ending`
/// lasts until no executor is left. Terminal: the last three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ApplicationState {
    /// Has no executor running.
    Waiting,
    /// Has executors.
    Running,
    /// Its session is broken and may still resume.
    Disconnected,
    /// Executors are being ended.
    Ending,
    /// Ended with success.
    Finished,
    /// Ended with failure.
    Failed,
    /// Ended by an operator.
    Killed,
}

impl ApplicationState {
    /// Every state.
    pub const ALL: [ApplicationState; 7] = [
        ApplicationState::Waiting,
        ApplicationState::Running,
        ApplicationState::Disconnected,
        ApplicationState::Ending,
        ApplicationState::Finished,
        ApplicationState::Failed,
        ApplicationState::Killed,
    ];

    /// Whether it never changes again.
    pub fn is_terminal(self) -> bool {
        matches!(self, ApplicationState::Finished | ApplicationState::Failed | ApplicationState::Killed)
    }

    /// The word that filters and listings use.
    pub fn as_str(self) -> &'static str {
        match self {
            ApplicationState::Waiting => "WAITING",
            ApplicationState::Running => "RUNNING",
            ApplicationState::Disconnected => "DISCONNECTED",
            ApplicationState::Ending => "ENDING",
            ApplicationState::Finished => "FINISHED",
            ApplicationState::Failed => "FAILED",
            ApplicationState::Killed => "KILLED",
        }
    }
}

/// The state of an executor.
///
/// `Launching → Running → Exited`; `Launching → Failed` when it could not be started; `Launching |
/// Running → Killing → Killed`; `→ Unreachable → …` as for drivers; `→ Lost` with its worker.
/// Terminal: `Exited`, `Killed`, `Failed`, `Lost`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExecutorState {
    /// Assigned to a worker, not yet known to run.
    Launching,
    /// Its process runs.
    Running,
    /// A kill was asked for.
    Killing,
    /// Its worker is disconnected for longer than the worker timeout.
    Unreachable,
    /// Ended by itself.
    Exited,
    /// Ended because it was asked to.
    Killed,
    /// Could not be started.
    Failed,
    /// Its worker is lost, or came back without it.
    Lost,
}

impl ExecutorState {
    /// Every state.
    pub const ALL: [ExecutorState; 8] = [
        ExecutorState::Launching,
        ExecutorState::Running,
        ExecutorState::Killing,
        ExecutorState::Unreachable,
        ExecutorState::Exited,
        ExecutorState::Killed,
        ExecutorState::Failed,
        ExecutorState::Lost,
    ];

    /// Whether it never changes again.
    pub fn is_terminal(self) -> bool {
        matches!(self, ExecutorState::Exited | ExecutorState::Killed | ExecutorState::Failed | ExecutorState::Lost)
    }

    /// The word that filters and listings use.
    pub fn as_str(self) -> &'static str {
        match self {
            ExecutorState::Launching => "LAUNCHING",
            ExecutorState::Running => "RUNNING",
            ExecutorState::Killing => "KILLING",
            ExecutorState::Unreachable => "UNREACHABLE",
            ExecutorState::Exited => "EXITED",
            ExecutorState::Killed => "KILLED",
            ExecutorState::Failed => "FAILED",
            ExecutorState::Lost => "LOST",
        }
    }
}
