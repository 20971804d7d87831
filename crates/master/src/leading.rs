//! What there is while this master leads, and where handlers find it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use muster_core::liveness;
use muster_proto::Welcome;
use muster_proto::errors::Failure;
use muster_proto::tokens::ResumeToken;
use muster_store::Deadline;
use muster_types::{ClusterRecord, Commit, Epoch, QuarantinedRecord, WallTime};
use tokio::sync::Semaphore;

use crate::clock;
use crate::commit::Mailbox;
use crate::events::Hub;
use crate::link::Links;
use crate::refused::Refused;
use crate::sessions::Sessions;
use crate::view::View;

/// A term of leadership as handlers see it.
pub(crate) struct Leading {
    /// Its number.
    pub epoch: Epoch,
    /// The cluster that is led.
    pub cluster: ClusterRecord,
    /// Until when it may answer.
    pub deadline: Deadline,
    /// Since when it leads.
    pub since: WallTime,
    /// Where it is reached.
    pub address: String,
    /// Kind of store.
    pub store: &'static str,
    /// Records that could not be read.
    pub quarantined: Vec<QuarantinedRecord>,
    /// What readers see.
    pub view: Arc<View>,
    /// Those who watch events.
    pub hub: Arc<Hub>,
    /// Workers' links.
    pub links: Arc<Links>,
    /// Applications' sessions.
    pub sessions: Arc<Sessions>,
    /// What waits for the commit loop.
    pub mailbox: Mailbox,
    /// What a welcome says.
    pub welcome: Arc<Welcome>,
    /// Hellos that are being taken.
    pub admission: Arc<Semaphore>,
    /// Inputs that are refused for a while.
    pub refused: Arc<Refused>,
    /// Who has been heard.
    pub liveness: Arc<Mutex<liveness::Table>>,
}

impl Leading {
    /// Whether the leader's deadline stands at this moment.
    pub(crate) fn stands(&self) -> bool {
        self.deadline.stands(clock::boottime())
    }

    /// The liveness table.
    pub(crate) fn liveness(&self) -> MutexGuard<'_, liveness::Table> {
        self.liveness.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place behind everything of a commit.
    pub(crate) fn token(&self, commit: Commit) -> ResumeToken {
        ResumeToken::after(self.epoch.generation, commit)
    }

    /// Gives an answer that was built from what this leader knows, only while its deadline stands.
    pub(crate) fn answered<T>(&self, answer: T) -> Result<T, Failure> {
        if self.stands() { Ok(answer) } else { Err(Failure::NoLeader) }
    }
}

/// Where handlers find the leader: empty until one leads.
#[derive(Default)]
pub(crate) struct Seat(ArcSwapOption<Leading>);

impl Seat {
    /// Whoever leads.
    pub(crate) fn leading(&self) -> Result<Arc<Leading>, Failure> {
        self.0.load_full().ok_or(Failure::NoLeader)
    }

    /// Takes the seat, or leaves it.
    pub(crate) fn set(&self, leading: Option<Arc<Leading>>) {
        self.0.store(leading);
    }
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Seat").field(&self.0.load().as_ref().map(|leading| leading.epoch)).finish()
    }
}

/// The lengths that a leader dictates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Time between heartbeats.
    pub heartbeat: Duration,
    /// Length of a worker's lease.
    pub lease: Duration,
    /// Length of a leader's lease at the store.
    pub store_lease: Duration,
    /// What clocks may differ by over a lease, and more.
    pub margin: Duration,
}

impl Timing {
    /// After this long without a sign of life every lease has ended for certain.
    pub fn wait(&self) -> Duration {
        self.lease + self.store_lease + self.margin
    }
}
