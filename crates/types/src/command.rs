//! Programs, and the commands that a master sends to a worker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::{AllocatedResources, ApplicationUid, ArtifactUri, AttemptKey, Secret, TraceContext};

/// A program with its arguments, environment and work directory. The worker substitutes
/// `{{VARIABLE}}` in each of these texts.
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
    /// Work directory; `None` is a new directory of the attempt's own.
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
    /// Whether to make it executable.
    pub executable: bool,
}

/// An attempt for a worker to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The attempt.
    pub attempt: AttemptKey,
    /// Name of the driver or application.
    pub id: String,
    /// Whether the worker fences it when its lease ends.
    pub leased: bool,
    /// The program.
    pub command: Arc<Command>,
    /// Files to fetch first.
    pub artifacts: Arc<[Artifact]>,
    /// The resources that it is given.
    pub resources: AllocatedResources,
    /// Time between TERM and KILL.
    pub kill_grace: Duration,
    /// Kept size of each output file in bytes.
    pub log_limit: u64,
    /// The token of a driver.
    pub token: Option<Secret>,
    /// Variables in addition to the worker's own.
    pub variables: BTreeMap<String, String>,
    /// Component name in `RESOURCES_FILE`.
    pub resources_component: Arc<str>,
    /// The owner, whom the worker may map to accounts; `None` where there were no credentials.
    pub owner: Option<Arc<str>>,
    /// The account that the submission asks for.
    pub run_as: Option<String>,
    /// The span below which the attempt goes on.
    pub trace: Option<TraceContext>,
}

/// Who asked for a kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KilledBy {
    /// The application, or the driver that it belongs to.
    Application,
    /// A person.
    Operator,
    /// Something more important. Nothing is preempted yet: the stored records and the wire have the
    /// word for placement by priority, so that an older reader knows it by then.
    Preemption,
    /// The worker drains.
    Drain,
    /// The lease ran out.
    Lease,
    /// The attempt is not current: the master does not know it, or has closed it.
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

    /// The value of a stable word.
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

/// A command to a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkerCommand {
    /// Start an attempt. If the attempt is in the journal, the worker reports its present state
    /// instead.
    Launch(Arc<Launch>),
    /// End an attempt. An attempt that is not in the journal is reported as ended, `NeverStarted`.
    Kill {
        /// The attempt.
        attempt: AttemptKey,
        /// KILL at once, without TERM.
        at_once: bool,
        /// Who asked.
        by: KilledBy,
    },
    /// Thaw an attempt that was frozen when its lease ended, because it is current. Obeyed only
    /// while the lease is valid.
    Thaw {
        /// The attempt.
        attempt: AttemptKey,
    },
    /// An application has ended: the worker removes its scratch directory once none of its
    /// executors is left there.
    ApplicationGone(ApplicationUid),
}
