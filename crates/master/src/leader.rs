//! What there is while this master leads, and where handlers find it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use muster_core::liveness;
use muster_proto::LeaderWelcome;
use muster_proto::errors::Failure;
use muster_proto::tokens::ResumeToken;
use muster_store::{Deadline, LeaderWatch};
use muster_types::{ClusterRecord, Commit, Epoch, QuarantinedRecord, WallTime};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::api::submit::UndecidedRequests;
use crate::clock;
use crate::commit::InputSender;
use crate::events::EventBroker;
use crate::link::Links;
use crate::poison_inputs::PoisonInputs;
use crate::sessions::Sessions;
use crate::stop::until_stopped;
use crate::view::View;

/// A term of leadership as handlers see it.
pub(crate) struct LeaderContext {
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
    pub broker: Arc<EventBroker>,
    /// Workers' links.
    pub links: Arc<Links>,
    /// Applications' sessions.
    pub sessions: Arc<Sessions>,
    /// What waits for the commit loop.
    pub inputs: InputSender,
    /// What a welcome says, but for the masters, which come and go.
    pub welcome: Arc<LeaderWelcome>,
    /// Who leads and who stands by.
    pub election: LeaderWatch,
    /// Hellos that are being taken.
    pub admission: Arc<Semaphore>,
    /// Inputs that are refused for a while.
    pub poison_inputs: Arc<PoisonInputs>,
    /// Who has been heard.
    pub liveness: Arc<Mutex<liveness::LivenessTable>>,
    /// Until when workers that were loaded and are silent are waited for.
    pub recovers_until: WallTime,
    /// The store takes nothing more at present.
    pub store_full: watch::Receiver<bool>,
    /// What was on its way to the store when it was found full.
    pub undecided: UndecidedRequests,
    /// What only the role can do.
    pub role_commands: mpsc::Sender<RoleCommand>,
}

/// What a leader's role is asked to do.
#[derive(Debug)]
pub(crate) enum RoleCommand {
    /// Hand over; told once the key is given up.
    StepDown(oneshot::Sender<()>),
    /// A worker has seen a later epoch of this generation: find out whether the store went back in
    /// time.
    CheckStore(Epoch),
}

impl LeaderContext {
    /// Whether the leader's deadline stands at this moment.
    pub(crate) fn stands(&self) -> bool {
        self.deadline.stands(clock::boottime())
    }

    /// What a welcome says.
    pub(crate) fn welcome(&self) -> Arc<LeaderWelcome> {
        let view = self.election.view();
        let others = view.members.iter().map(|member| &member.address).filter(|address| **address != self.address);
        let masters = std::iter::once(&self.address).chain(others).cloned().collect();
        Arc::new(LeaderWelcome { masters, ..LeaderWelcome::clone(&self.welcome) })
    }

    /// The liveness table.
    pub(crate) fn liveness(&self) -> MutexGuard<'_, liveness::LivenessTable> {
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
#[derive(Debug)]
pub(crate) struct LeaderSlot {
    leading: ArcSwapOption<LeaderContext>,
    /// Why nobody takes it, although this master owns the key.
    halted: AtomicBool,
    /// Raised with each change.
    changes: watch::Sender<u64>,
    /// Nobody takes it any more: this master goes away.
    closed: watch::Sender<bool>,
}

impl Default for LeaderSlot {
    fn default() -> LeaderSlot {
        LeaderSlot {
            leading: ArcSwapOption::empty(),
            halted: AtomicBool::new(false),
            changes: watch::Sender::new(0),
            closed: watch::Sender::new(false),
        }
    }
}

impl LeaderSlot {
    /// Whoever leads.
    pub(crate) fn leading(&self) -> Result<Arc<LeaderContext>, Failure> {
        self.leading
            .load_full()
            .ok_or_else(|| if self.halted.load(Ordering::Acquire) { Failure::StoreRestored } else { Failure::NoLeader })
    }

    /// Takes the slot, or leaves it.
    pub(crate) fn set(&self, leading: Option<Arc<LeaderContext>>) {
        self.leading.store(leading);
        self.halted.store(false, Ordering::Release);
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// Leaves the slot empty, because the store went back in time.
    pub(crate) fn halt(&self) {
        self.leading.store(None);
        self.halted.store(true, Ordering::Release);
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// This master goes away: what would last for ever ends.
    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Whether this master goes away.
    pub(crate) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Ready once this master goes away.
    pub(crate) async fn closed(&self) {
        until_stopped(&mut self.closed.subscribe()).await;
    }

    /// Sees its changes from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

impl std::fmt::Debug for LeaderContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LeaderContext").field("epoch", &self.epoch).finish_non_exhaustive()
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
