//! How near a task runs to what it prefers.

use muster_types::ExecutorId;

use crate::ids::{RackIndex, WorkerIndex};

/// How near a task runs to what it prefers, the nearest first. A stage begins with the nearest
/// level at which a live executor could serve it, and goes on to the next when it has waited.
/// Within one attempt of the stage it never goes back, as it would wait again each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Locality {
    /// In the preferred executor.
    Process,
    /// On the preferred worker.
    Node,
    /// The task prefers nothing. It never waits.
    NoPreference,
    /// In the rack of a preferred worker.
    Rack,
    /// Anywhere.
    Any,
}

/// Something that a task may prefer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LocalityKey {
    Executor(ExecutorId),
    Worker(WorkerIndex),
    Rack(RackIndex),
}

impl LocalityKey {
    /// The level of a task that is launched for this key.
    pub(crate) fn level(self) -> Locality {
        match self {
            LocalityKey::Executor(_) => Locality::Process,
            LocalityKey::Worker(_) => Locality::Node,
            LocalityKey::Rack(_) => Locality::Rack,
        }
    }
}

/// The levels at which a stage waits, in order.
pub(crate) const WAITING_LEVELS: [Locality; 3] = [Locality::Process, Locality::Node, Locality::Rack];
