//! The state of a term of leadership, and the slot in which handlers find it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use muster_core::liveness;
use muster_proto::LeaderWelcome;
use muster_proto::errors::Failure;
use muster_proto::tokens::ResumeToken;
use muster_store::{Deadline, LeaderWatch};
use muster_traces::Traces;
use muster_types::{ClusterRecord, Commit, Epoch, QuarantinedRecord, Time, WallTime};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::api::submit::UndecidedRequests;
use crate::clock;
use crate::commit::InputSender;
use crate::events::EventBroker;
use crate::link::Links;
use crate::metrics::MasterMetrics;
use crate::poison_inputs::PoisonInputs;
use crate::sessions::Sessions;
use crate::stop::until_stopped;
use crate::view::{StoredAccess, View};

/// A term of leadership as handlers see it.
pub(crate) struct LeaderContext {
    pub epoch: Epoch,
    pub cluster: ClusterRecord,
    /// Until when this leader may answer.
    pub deadline: Deadline,
    /// When the term began.
    pub since: WallTime,
    /// The same, by the clock that deadlines have.
    pub won: Time,
    pub metrics: Arc<MasterMetrics>,
    pub traces: Traces,
    /// The address at which this leader is reached.
    pub address: String,
    /// The kind of store: `memory`, `embedded` or `etcd`.
    pub store: &'static str,
    /// Records that could not be read.
    pub quarantined: Vec<QuarantinedRecord>,
    pub view: Arc<View>,
    pub broker: Arc<EventBroker>,
    pub links: Arc<Links>,
    pub sessions: Arc<Sessions>,
    pub inputs: InputSender,
    /// The welcome for workers, without the list of masters, which changes.
    pub welcome: Arc<LeaderWelcome>,
    pub election: LeaderWatch,
    /// Limits how many hellos are taken at one time.
    pub admission: Arc<Semaphore>,
    /// Inputs that are refused for a while.
    pub poison_inputs: Arc<PoisonInputs>,
    /// When each worker was last heard.
    pub liveness: Arc<Mutex<liveness::LivenessTable>>,
    /// Until when loaded workers that are silent are waited for.
    pub recovers_until: WallTime,
    /// Whether machines that reach this master need no credential.
    pub is_open: bool,
    /// Whether plaintext is taken of what was started before there were credentials.
    pub takes_plaintext: bool,
    /// Whether the store is full at present.
    pub store_full: watch::Receiver<bool>,
    /// Requests that were on their way to the store when it was found full.
    pub undecided: UndecidedRequests,
    /// Commands that only the role can carry out.
    pub role_commands: mpsc::Sender<RoleCommand>,
}

/// What a leader's role is asked to do.
#[derive(Debug)]
pub(crate) enum RoleCommand {
    /// Hand over. The sender is notified once the key is given up.
    StepDown(oneshot::Sender<()>),
    /// A worker has seen a later epoch of this generation: find out whether the store went back in
    /// time.
    CheckStore(Epoch),
}

impl LeaderContext {
    /// Whether the deadline of this leader has not passed.
    pub(crate) fn stands(&self) -> bool {
        self.deadline.stands(clock::boottime())
    }

    /// The welcome with the present list of masters, this one first.
    pub(crate) fn welcome(&self) -> Arc<LeaderWelcome> {
        let view = self.election.view();
        let others = view.members.iter().map(|member| &member.address).filter(|address| **address != self.address);
        let masters = std::iter::once(&self.address).chain(others).cloned().collect();
        Arc::new(LeaderWelcome { masters, ..LeaderWelcome::clone(&self.welcome) })
    }

    /// Locks the liveness table.
    pub(crate) fn liveness(&self) -> MutexGuard<'_, liveness::LivenessTable> {
        self.liveness.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token behind all events of a commit.
    pub(crate) fn token(&self, commit: Commit) -> ResumeToken {
        ResumeToken::after(self.epoch.generation, commit)
    }

    /// Returns an answer that was built from the state of this leader, only while its deadline
    /// stands.
    pub(crate) fn answered<T>(&self, answer: T) -> Result<T, Failure> {
        if self.stands() { Ok(answer) } else { Err(Failure::NoLeader) }
    }
}

/// Where handlers find the leader. The slot is empty while this master does not lead.
#[derive(Debug)]
pub(crate) struct LeaderSlot {
    leading: ArcSwapOption<LeaderContext>,
    /// Whether the slot is empty because the store went back in time.
    halted: AtomicBool,
    /// Raised with each change.
    changes: watch::Sender<u64>,
    /// Tokens and roles of the store, which a standby follows, too.
    access: watch::Sender<Arc<StoredAccess>>,
    /// Set once this master goes away.
    closed: watch::Sender<bool>,
}

impl Default for LeaderSlot {
    fn default() -> LeaderSlot {
        LeaderSlot {
            leading: ArcSwapOption::empty(),
            halted: AtomicBool::new(false),
            changes: watch::Sender::new(0),
            access: watch::Sender::new(Arc::default()),
            closed: watch::Sender::new(false),
        }
    }
}

impl LeaderSlot {
    /// The present term, or the reason why there is none.
    pub(crate) fn leading(&self) -> Result<Arc<LeaderContext>, Failure> {
        self.leading
            .load_full()
            .ok_or_else(|| if self.halted.load(Ordering::Acquire) { Failure::StoreRestored } else { Failure::NoLeader })
    }

    /// Fills the slot, or empties it.
    pub(crate) fn set(&self, leading: Option<Arc<LeaderContext>>) {
        self.leading.store(leading);
        self.halted.store(false, Ordering::Release);
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// Tokens and roles in the store, as far as this master follows it.
    pub(crate) fn access(&self) -> Arc<StoredAccess> {
        self.access.borrow().clone()
    }

    /// Watches for others than these, as a whole.
    pub(crate) fn watch_access(&self) -> watch::Receiver<Arc<StoredAccess>> {
        self.access.subscribe()
    }

    /// From now on these are the tokens and roles.
    pub(crate) fn set_access(&self, access: &Arc<StoredAccess>) {
        self.access.send_if_modified(|known| {
            let is_other = !Arc::ptr_eq(known, access);
            if is_other {
                known.clone_from(access);
            }
            is_other
        });
    }

    /// Leaves the slot empty, because the store went back in time.
    pub(crate) fn halt(&self) {
        self.leading.store(None);
        self.halted.store(true, Ordering::Release);
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// This master goes away: streams that would last for ever end.
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

    /// Watches changes of the slot from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

impl std::fmt::Debug for LeaderContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LeaderContext").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

/// The times that a leader dictates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Time between heartbeats.
    pub heartbeat: Duration,
    /// Length of a worker's lease.
    pub lease: Duration,
    /// Length of a leader's lease at the store.
    pub store_lease: Duration,
    /// How far the clocks of two machines may drift apart over a lease, and some more.
    pub margin: Duration,
}

impl Timing {
    /// The worker timeout: after this long without a sign of life, every lease has ended for
    /// certain.
    pub fn wait(&self) -> Duration {
        self.lease + self.store_lease + self.margin
    }
}
