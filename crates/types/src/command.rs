//! Programs, and the commands that a master sends to a worker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::{AllocatedResources, ApplicationUid, ArtifactUri, AttemptKey, Secret};

/// A program with its arguments and surroundings. `{{VARIABLE}}` in any of its texts is substituted
/// by the worker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Command {
    /// Path of the program.
    pub program: String,
    /// Arguments, without the program.
    pub args: Vec<String>,
    /// Environment that may be shown (redacted where a name looks secret).
    pub env: BTreeMap<String, String>,
    /// Environment that is never shown.
    pub secret_env: BTreeMap<String, Secret>,
    /// Work directory; `None` is a fresh one of the attempt.
    pub work_dir: Option<String>,
}

/// A file that the worker fetches before the program starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// `file:`, `http:` or `https:`.
    pub uri: ArtifactUri,
    /// Expected SHA-256.
    pub sha256: Option<[u8; 32]>,
    /// Name in the work directory.
    pub file_name: String,
    /// Make it executable.
    pub executable: bool,
}

/// What a worker is told to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The attempt that it is.
    pub attempt: AttemptKey,
    /// Name of the driver or application.
    pub id: String,
    /// Whether it ends with the worker's lease.
    pub leased: bool,
    /// The program.
    pub command: Arc<Command>,
    /// Files to fetch first.
    pub artifacts: Arc<[Artifact]>,
    /// What it is given.
    pub resources: AllocatedResources,
    /// Time between TERM and KILL.
    pub kill_grace: Duration,
    /// Kept size of each output file in bytes.
    pub log_limit: u64,
    /// The token of a driver.
    pub token: Option<Secret>,
    /// Variables beside the worker's own.
    pub variables: BTreeMap<String, String>,
    /// Component name in `RESOURCES_FILE`.
    pub resources_component: Arc<str>,
}

/// Who asked for a kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KilledBy {
    /// The application, or the driver that it belongs to.
    Application,
    /// A person.
    Operator,
    /// Something more important.
    Preemption,
    /// The worker drains.
    Drain,
    /// The lease ran out.
    Lease,
    /// It is not current: the master does not know it, or has closed it.
    Fence,
}

impl KilledBy {
    /// The stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            KilledBy::Application => "application",
            KilledBy::Operator => "operator",
            KilledBy::Preemption => "preemption",
            KilledBy::Drain => "drain",
            KilledBy::Lease => "lease",
            KilledBy::Fence => "fence",
        }
    }

    /// Of a stable word.
    pub fn from_word(word: &str) -> Option<KilledBy> {
        const ALL: [KilledBy; 6] = [
            KilledBy::Application,
            KilledBy::Operator,
            KilledBy::Preemption,
            KilledBy::Drain,
            KilledBy::Lease,
            KilledBy::Fence,
        ];
        ALL.into_iter().find(|by| by.as_str() == word)
    }
}

/// What a worker is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkerCommand {
    /// Start an attempt. One that the journal knows is answered with its present state.
    Launch(Arc<Launch>),
    /// End an attempt. One that the journal does not know is answered as ended, `NeverStarted`.
    Kill {
        /// Which.
        attempt: AttemptKey,
        /// KILL at once, without TERM.
        at_once: bool,
        /// Who asked.
        by: KilledBy,
    },
    /// An attempt that was frozen at its lease's end is current: it goes on. Obeyed only while the
    /// lease stands.
    Thaw {
        /// Which.
        attempt: AttemptKey,
    },
    /// An application has ended: its scratch directory can go once no executor of it is left here.
    ApplicationGone(ApplicationUid),
}
