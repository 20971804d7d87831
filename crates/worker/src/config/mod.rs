//! The worker's configuration, from flags, environment and file. What is not set is detected, and
//! everything is checked.

mod detect;
mod resolve;
mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_types::{
    AllocatedResources, Capabilities, Hello, Incarnation, RequiredContainment, Session, WorkerName, WorkerUid,
};

use muster_tls::{JoinToken, Trust};
use muster_traces::OtlpFlags;

use crate::accounts::Accounts;
use crate::launch::ArtifactNetworks;
pub use settings::{Action, CommandLine, JoinArgs, StopArgs, WorkerSettings};

/// A worker's configuration, complete.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// Addresses of masters, at least one.
    pub masters: Vec<String>,
    /// The masters that are trusted; connections to them are in the clear without.
    pub trust: Option<MasterTrust>,
    /// The credential that masters are shown.
    pub token: Option<JoinToken>,
    /// The worker's label.
    pub name: WorkerName,
    /// Where its gRPC service listens.
    pub listen: SocketAddr,
    /// Where it serves HTTP.
    pub http: Option<SocketAddr>,
    /// The address that others are told; `None` stands for the host with the port that was bound.
    pub advertise: Option<String>,
    /// Reachable name of this machine.
    pub host: String,
    /// All resources on offer.
    pub total: AllocatedResources,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Worker-defined variables.
    pub variables: BTreeMap<String, String>,
    /// The directories.
    pub directories: Directories,
    /// The runner's binary.
    pub runner: PathBuf,
    /// The accounts that programs run as.
    pub accounts: Accounts,
    /// Where artifacts are fetched from.
    pub artifact_networks: ArtifactNetworks,
    /// Further arguments of the runner.
    pub runner_args: Vec<String>,
    /// Without which containment to refuse to start.
    pub require_containment: RequiredContainment,
    /// Whether limits are enforced.
    pub limits: bool,
    /// How long a tree that is frozen at its lease's end waits to be confirmed.
    pub fence_kill_after: Duration,
    /// What is kept, and for how long.
    pub retention: WorkerRetention,
    /// Whether to join another cluster than before.
    pub rejoin: bool,
    /// Where to write the address once registered.
    pub address_file: Option<PathBuf>,
    /// Where traces are exported to.
    pub otlp: OtlpFlags,
}

/// What a worker joins by.
#[derive(Debug, Clone)]
pub struct JoinConfig {
    /// Addresses of masters, at least one.
    pub masters: Vec<String>,
    /// The masters that are trusted; without, the token says whom.
    pub trust: Option<MasterTrust>,
    /// The credential that masters are shown.
    pub token: Option<JoinToken>,
    /// The state directory.
    pub state_dir: PathBuf,
}

/// The cluster's CA.
#[derive(Debug, Clone)]
pub struct MasterTrust {
    /// Its file, of which programs are told.
    pub file: PathBuf,
    /// Trust in it.
    pub trust: Trust,
}

impl WorkerConfig {
    /// What it says of itself in a hello. The machine, the boot, the runner and the session are
    /// left blank.
    pub fn hello(&self, worker: WorkerUid, address: &str) -> Hello {
        Hello {
            cluster: None,
            worker,
            name: self.name.clone(),
            machine_id: String::new(),
            boot_id: String::new(),
            incarnation: Incarnation { counter: 0, random: 0 },
            session: Session(0),
            epoch: None,
            capabilities: Capabilities::default(),
            total: self.total.clone(),
            labels: self.labels.clone(),
            variables: self.variables.keys().cloned().collect(),
            host: self.host.clone(),
            address: address.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            key: None,
        }
    }
}

/// The worker's directories.
#[derive(Debug, Clone)]
pub struct Directories {
    /// State: identity, epoch, journal, socket.
    pub state: PathBuf,
    /// Work directories of attempts and scratch directories of applications.
    pub work: PathBuf,
    /// Logs, one directory per attempt.
    pub logs: PathBuf,
    /// Artifacts with a known hash.
    pub cache: PathBuf,
}

impl Directories {
    /// Every place where this worker's work directories may lie: programs of another user have them
    /// beside the state directory, which is closed to them, and `--run-as` may have changed.
    pub fn work_places(&self) -> BTreeSet<PathBuf> {
        [self.work.clone(), self.state.join("work"), work_of_account(&self.state)].into()
    }
}

/// `STATE_DIR.work`.
fn work_of_account(state: &Path) -> PathBuf {
    let mut work = state.as_os_str().to_owned();
    work.push(".work");
    work.into()
}

/// What is kept, and for how long.
#[derive(Debug, Clone)]
pub struct WorkerRetention {
    /// Time between two passes.
    pub interval: Duration,
    /// Work directories of ended attempts are removed at this age.
    pub work_age: Duration,
    /// Logs of ended attempts are removed at this age.
    pub log_age: Duration,
    /// Oldest logs of ended attempts are removed above this many bytes in all.
    pub log_bytes: u64,
    /// Cached artifacts used longest ago are removed above this many bytes in all.
    pub cache_bytes: u64,
}
