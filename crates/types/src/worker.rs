//! What a worker is.

use std::collections::{BTreeMap, BTreeSet};

use crate::{AllocatedResources, ClusterUid, Epoch, Incarnation, Session, WorkerName, WorkerUid};

/// What a worker's machine lets it do, and what its runner can vouch for: found at its start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// A kill ends the whole tree of a process, whatever it did.
    pub tree: bool,
    /// Memory limits are enforced.
    pub memory_limit: bool,
    /// CPU limits are enforced.
    pub cpu_limit: bool,
    /// Limits on the number of processes are enforced.
    pub pids_limit: bool,
    /// Trees can be frozen.
    pub freezer: bool,
    /// Processes die with the runner, by the kernel.
    pub dies_with_runner: bool,
    /// Nothing that an earlier incarnation of the runner started is left: that is proven.
    pub earlier_ended: bool,
    /// Logs are bounded by punching holes.
    pub punch_hole: bool,
    /// How the tree is held, for people: `cgroup2`, `cgroup1-freezer` or `none`.
    pub tree_method: String,
}

/// What a worker says first on each stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The cluster it joined, if it ever did.
    pub cluster: Option<ClusterUid>,
    /// Its identity.
    pub worker: WorkerUid,
    /// Its label.
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
    /// What its machine lets it do.
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
}

/// Where a worker stands in the leader's eyes.
///
/// `(new) → Alive` by hello and inventory; `Alive → Disconnected` when its stream breaks;
/// `Disconnected → Alive` by hello and inventory; `Disconnected | Alive | Unconfirmed → Lost` past
/// its deadline; `Lost → Alive` by hello and inventory; `Unconfirmed` is what a new leader loads;
/// `Disconnected | Lost | Unconfirmed → Forgotten` by an operator, terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkerState {
    /// Heard, and has reported its inventory on the present stream.
    Alive,
    /// No stream, or no inventory on it yet; its deadline stands.
    Disconnected,
    /// Loaded by a new leader, not heard yet.
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

    /// The word of filters and of people.
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
