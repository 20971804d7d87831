//! A worker's capabilities, its hello and its states.

use std::collections::{BTreeMap, BTreeSet};

use crate::{AllocatedResources, ClusterUid, Epoch, Incarnation, KeyDigest, Session, WorkerName, WorkerUid};

/// What a worker's machine can enforce, and what its runner can prove. Found out when the worker
/// starts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// A kill ends a process tree whole, whatever its processes did.
    pub tree: bool,
    /// Memory limits are enforced.
    pub memory_limit: bool,
    /// CPU limits are enforced.
    pub cpu_limit: bool,
    /// Limits on the number of processes are enforced.
    pub pids_limit: bool,
    /// Trees can be frozen.
    pub freezer: bool,
    /// The kernel ends all processes when the runner ends.
    pub dies_with_runner: bool,
    /// It is proven that nothing is left of what an earlier incarnation of the runner started.
    pub earlier_ended: bool,
    /// Logs are bounded by punching holes.
    pub punch_hole: bool,
    /// Programs can be started as another user than the worker's.
    pub own_users: bool,
    /// Programs run as another user than the worker's, so that they can neither read, trace nor
    /// signal it.
    pub protected_runner: bool,
    /// No two owners' programs run as the same user, and none as the worker's: owners can neither
    /// read each other's files nor trace or signal each other's programs.
    pub owner_users: bool,
    /// `/tmp`, `/var/tmp` and `/dev/shm` of a program are its user's alone, and so are the objects
    /// of System V IPC and POSIX message queues.
    pub private_tmp: bool,
    /// How the tree is held, for people: `cgroup2`, `cgroup1-freezer` or `none`.
    pub tree_method: String,
}

/// What an operator demands of a worker's containment before work is placed there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RequiredContainment {
    /// Nothing.
    #[default]
    Nothing,
    /// A kill ends a process tree whole, for leased work.
    Tree,
    /// That, and that owners are separated by users, for all work.
    Users,
}

impl RequiredContainment {
    /// The words in options.
    pub const WORDS: [&str; 3] = ["false", "true", "users"];

    /// The demand of a word in options.
    pub fn from_word(word: &str) -> Option<RequiredContainment> {
        match word {
            "false" => Some(RequiredContainment::Nothing),
            "true" => Some(RequiredContainment::Tree),
            "users" => Some(RequiredContainment::Users),
            _ => None,
        }
    }

    /// Whether a worker with these capabilities may have all the work.
    pub fn is_met(self, tree: bool, owner_users: bool) -> bool {
        match self {
            RequiredContainment::Nothing => true,
            RequiredContainment::Tree => tree,
            RequiredContainment::Users => tree && owner_users,
        }
    }

    /// Whether the demand is about this work.
    pub fn applies(self, leased: bool) -> bool {
        match self {
            RequiredContainment::Nothing => false,
            RequiredContainment::Tree => leased,
            RequiredContainment::Users => true,
        }
    }
}

/// The first message of a worker on each stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The cluster it joined, if it ever did.
    pub cluster: Option<ClusterUid>,
    /// Its identity.
    pub worker: WorkerUid,
    /// Its name.
    pub name: WorkerName,
    /// The machine's id.
    pub machine_id: String,
    /// The machine's boot id.
    pub boot_id: String,
    /// Incarnation of its runner.
    pub incarnation: Incarnation,
    /// Raised for each stream.
    pub session: Session,
    /// Highest epoch seen.
    pub epoch: Option<Epoch>,
    /// What its machine can enforce.
    pub capabilities: Capabilities,
    /// All it has.
    pub total: AllocatedResources,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Names of the variables it defines.
    pub variables: BTreeSet<String>,
    /// Reachable name of its machine.
    pub host: String,
    /// Address of its own gRPC service.
    pub address: String,
    /// Version of the agent.
    pub version: String,
    /// The key of the certificate that it has shown; the message itself does not say it.
    pub key: Option<KeyDigest>,
}

/// The state of a worker as the leader sees it.
///
/// `(new) → Alive` by hello and inventory; `Alive → Disconnected` when its stream breaks;
/// `Disconnected → Alive` by hello and inventory; `Disconnected | Alive | Unconfirmed → Lost` past
/// its deadline; `Lost → Alive` by hello and inventory; `Unconfirmed` is what a new leader loads;
/// `Disconnected | Lost | Unconfirmed → Forgotten` by an operator, terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkerState {
    /// It is connected and has reported its inventory on the present stream.
    Alive,
    /// It has no stream, or has sent no inventory on it yet; its deadline runs.
    Disconnected,
    /// A new leader loaded it and has not heard from it yet.
    Unconfirmed,
    /// Past its deadline.
    Lost,
    /// Refused for ever.
    Forgotten,
}

impl WorkerState {
    /// Every state.
    pub const ALL: [WorkerState; 5] = [
        WorkerState::Alive,
        WorkerState::Disconnected,
        WorkerState::Unconfirmed,
        WorkerState::Lost,
        WorkerState::Forgotten,
    ];

    /// The word that filters and listings use.
    pub fn as_str(self) -> &'static str {
        match self {
            WorkerState::Alive => "ALIVE",
            WorkerState::Disconnected => "DISCONNECTED",
            WorkerState::Unconfirmed => "UNCONFIRMED",
            WorkerState::Lost => "LOST",
            WorkerState::Forgotten => "FORGOTTEN",
        }
    }
}
