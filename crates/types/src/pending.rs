//! Why drivers and executors wait.

use crate::WorkerName;

/// Why a worker cannot take a driver or an executor. Each worker is counted once, under the first
/// cause that holds in this order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PendingCause {
    /// No worker is known.
    NoWorkers,
    /// A limit on running drivers is reached.
    DriverLimit,
    /// The application's limit of cores is reached.
    CoreLimit,
    /// A back-off has not ended.
    Backoff,
    /// The store was restored, and a copy that no record names may run.
    Restored,
    /// The worker is disconnected or lost.
    Disconnected,
    /// The worker has not reported to this leader yet.
    Unconfirmed,
    /// The worker drains.
    Draining,
    /// The application excludes the host.
    Excluded,
    /// The worker lacks a label.
    Labels,
    /// The worker does not define a variable that is used.
    Variable(String),
    /// The work is leased, and the worker cannot end a process tree whole.
    Containment,
    /// The worker has no user left for the owner.
    NoUser,
    /// Too few free cores.
    Cores,
    /// Too little free memory.
    Memory,
    /// Too few free addresses of a custom resource.
    Resource(String),
}

impl PendingCause {
    /// The stable word of the wire.
    pub fn as_str(&self) -> &'static str {
        match self {
            PendingCause::NoWorkers => "NO_WORKERS",
            PendingCause::DriverLimit => "DRIVER_LIMIT",
            PendingCause::CoreLimit => "CORE_LIMIT",
            PendingCause::Backoff => "BACKOFF",
            PendingCause::Restored => "RESTORED",
            PendingCause::Disconnected => "DISCONNECTED",
            PendingCause::Unconfirmed => "UNCONFIRMED",
            PendingCause::Draining => "DRAINING",
            PendingCause::Excluded => "EXCLUDED",
            PendingCause::Labels => "LABELS",
            PendingCause::Variable(_) => "VARIABLE",
            PendingCause::Containment => "CONTAINMENT",
            PendingCause::NoUser => "NO_USER",
            PendingCause::Cores => "CORES",
            PendingCause::Memory => "MEMORY",
            PendingCause::Resource(_) => "RESOURCE",
        }
    }
}

/// Why something waits: the number of workers for each cause, and the nearest fit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PendingReason {
    /// Each cause with the number of its workers and a sentence; causes with most workers first.
    pub causes: Vec<(PendingCause, u32, String)>,
    /// The worker that comes nearest, and what it lacks.
    pub nearest: Option<(WorkerName, String)>,
    /// Whether no known worker could take it even if the worker were empty.
    pub never_fits: bool,
}
