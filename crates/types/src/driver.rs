//! Drivers: supervised programs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::{Artifact, Command, Resources, RestartPolicy, WorkerLostPolicy};

/// The spec of a driver, with every default filled in. At most 64 KiB encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverSpec {
    /// The program.
    pub command: Arc<Command>,
    /// The request, which is also the limit where limits are enforced.
    pub resources: Resources,
    /// Files to fetch first.
    pub artifacts: Arc<[Artifact]>,
    /// When to run it again.
    pub restart: RestartPolicy,
    /// What happens when its worker is disconnected for longer than the worker timeout.
    pub on_worker_lost: WorkerLostPolicy,
    /// Time between TERM and KILL.
    pub kill_grace: Duration,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Labels that the worker must carry.
    pub worker_selector: BTreeMap<String, String>,
    /// Kept size of each output file in bytes.
    pub log_limit: u64,
    /// The account to run as; the worker's choice for the owner without.
    pub run_as: Option<String>,
}

/// Default request of cores.
pub const DEFAULT_CORES: u32 = 1;
/// Default request of memory: 512 MiB.
pub const DEFAULT_MEMORY: u64 = 512 << 20;
/// Default time between TERM and KILL, as in the reference system.
pub const DEFAULT_KILL_GRACE: Duration = Duration::from_secs(10);
/// Default kept size of each output file: enough for a day of ordinary output, and a small part of
/// any disk.
pub const DEFAULT_LOG_LIMIT: u64 = 64 << 20;
/// Largest encoded spec in bytes, so that a group of writes fits into one transaction of any store.
pub const MAX_SPEC_BYTES: usize = 64 << 10;

/// The state of a driver.
///
/// ```text
/// Pending → Launching → Running → Finished | Failed | CrashLoop
///    ↑          ↓           ↓
///    └─────── BackingOff ←──┘            (the program ended and its policy allows another attempt)
/// Pending | BackingOff → Killed          (a kill; nothing ran)
/// Launching | Running → Killing → Killed (a kill; then nothing is left)
/// Running | Launching → Unreachable      (unleased; disconnected longer than the worker timeout)
/// Unreachable → Running | Lost | …       (its worker is back, or was forgotten)
/// Running | Launching → Unconfirmed → …  (a new leader has not heard from its worker yet)
/// ```
///
/// Terminal: `Finished`, `Failed`, `Killed`, `Lost`, `CrashLoop`. A late report of a closed attempt
/// changes nothing and is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DriverState {
    /// Waits for a worker.
    Pending,
    /// Assigned to a worker, not yet known to run.
    Launching,
    /// Its process runs.
    Running,
    /// A kill was asked for; something may still run.
    Killing,
    /// Waits out its back-off.
    BackingOff,
    /// Its worker is disconnected for longer than the worker timeout; it may still run there.
    Unreachable,
    /// A new leader has not heard from its worker yet.
    Unconfirmed,
    /// Ended with exit code 0.
    Finished,
    /// Ended without success.
    Failed,
    /// Ended because it was asked to; nothing of it is left.
    Killed,
    /// Its worker came back without it, or was forgotten.
    Lost,
    /// Failed too often within its window.
    CrashLoop,
}

impl DriverState {
    /// Every state, for tables and filters.
    pub const ALL: [DriverState; 12] = [
        DriverState::Pending,
        DriverState::Launching,
        DriverState::Running,
        DriverState::Killing,
        DriverState::BackingOff,
        DriverState::Unreachable,
        DriverState::Unconfirmed,
        DriverState::Finished,
        DriverState::Failed,
        DriverState::Killed,
        DriverState::Lost,
        DriverState::CrashLoop,
    ];

    /// Whether it never changes again.
    pub fn is_terminal(self) -> bool {
        match self {
            DriverState::Finished
            | DriverState::Failed
            | DriverState::Killed
            | DriverState::Lost
            | DriverState::CrashLoop => true,
            DriverState::Pending
            | DriverState::Launching
            | DriverState::Running
            | DriverState::Killing
            | DriverState::BackingOff
            | DriverState::Unreachable
            | DriverState::Unconfirmed => false,
        }
    }

    /// The word that filters and listings use.
    pub fn as_str(self) -> &'static str {
        match self {
            DriverState::Pending => "PENDING",
            DriverState::Launching => "LAUNCHING",
            DriverState::Running => "RUNNING",
            DriverState::Killing => "KILLING",
            DriverState::BackingOff => "BACKING_OFF",
            DriverState::Unreachable => "UNREACHABLE",
            DriverState::Unconfirmed => "UNCONFIRMED",
            DriverState::Finished => "FINISHED",
            DriverState::Failed => "FAILED",
            DriverState::Killed => "KILLED",
            DriverState::Lost => "LOST",
            DriverState::CrashLoop => "CRASH_LOOP",
        }
    }
}
