//! The role of a leader that loads.

use std::sync::{Arc, Mutex};

use muster_core::{ClusterInfo, Term, liveness};
use muster_proto::{LeaderWelcome, PROTOCOL_VERSION};
use muster_store::{Candidate, Leader, Store};
use muster_types::{Commit, EventsRecord, Now, WorkerRecord};
use tokio::sync::{Semaphore, mpsc, watch};

use super::active::Active;
use super::fatal::FatalError;
use super::standby::{MasterProcess, Standby};
use super::warm_state::WarmState;
use crate::api::submit::UndecidedRequests;
use crate::commit::{CommitLoop, CommitTerms, Decisions, EffectSinks, input_queue};
use crate::entropy::KernelEntropy;
use crate::events::{CommitEventsSize, EventBroker, EventRetention, publisher};
use crate::leader::LeaderContext;
use crate::link::Links;
use crate::sessions::Sessions;

/// Hellos that are taken at one time. A hello costs a commit and an inventory; more than a few
/// dozen at once only wait for each other.
const HELLOS: usize = 64;

/// Commands to the role that may wait. Few are needed, because most of them end the role.
const ROLE_COMMANDS: usize = 4;

/// A leader that has not loaded yet.
pub(crate) struct Recovering<C: Candidate> {
    /// What outlives the role.
    pub node: MasterProcess<C>,
    pub leader: Leader<C::Store>,
    /// What was prepared for it.
    pub prepared: WarmState,
    /// When the term was won.
    pub won: Now,
}

impl<C: Candidate> Recovering<C>
where
    C::Store: 'static,
{
    /// Loads what is not prepared and builds the active leader. The inner `Err` is a master that
    /// stands by again, because the records could not be loaded.
    pub(crate) async fn run(self) -> Result<Result<Active<C>, Standby<C>>, FatalError> {
        let Recovering { mut node, mut leader, mut prepared, won } = self;
        match leader.store.catch_up().await {
            Ok(update) => prepared.take(update),
            Err(error) if error.is_fatal() => return Err(FatalError::Load(error)),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot load; standing by again");
                node.candidate.resign(leader).await;
                return Ok(Err(Standby(node)));
            }
        }
        prepared.settle().await;
        node.slot.set_access(&prepared.view.access());
        let Leader { epoch, cluster, deadline, store } = leader;
        report(&prepared);
        let WarmState { follower, view, events, quarantined, commit, .. } = prepared;
        let settings = node.settings.clone();
        let events = events.into_iter().map(|(commit, (kept, record))| (kept, (commit, record)));
        let (kept, history): (Vec<CommitEventsSize>, Vec<(Commit, Arc<EventsRecord>)>) = events.unzip();
        let retention = EventRetention::load(settings.events, commit, kept);
        let broker = Arc::new(EventBroker::new(epoch.generation, commit, retention.forgotten(), history));
        let mut table = liveness::LivenessTable::new();
        table.reset_all(follower.workers().filter(|worker| is_awaited(worker)).map(|worker| worker.uid), won.time);

        let mut entropy = KernelEntropy::open().map_err(FatalError::Entropy)?;
        let cluster_info = ClusterInfo { uid: cluster.uid, name: cluster.name.clone(), generation: epoch.generation };
        let term = Term { cluster: cluster_info, commit, is_damaged: !quarantined.is_empty() };
        let core = follower.lead(term, won, &mut entropy);

        let (inputs, queue) = input_queue();
        let (publisher, publishing) = publisher(broker.clone(), epoch.generation);
        let links = Arc::new(Links::default());
        let sessions = Arc::new(Sessions::new(inputs.links.clone()));
        let liveness = Arc::new(Mutex::new(table));
        let sinks = EffectSinks {
            view: view.clone(),
            publisher,
            links: links.clone(),
            sessions: sessions.clone(),
            liveness: liveness.clone(),
            deadline: deadline.clone(),
            metrics: node.metrics.clone(),
            traces: node.traces,
        };
        let decisions = Decisions::new(core, entropy);
        let full = watch::Sender::new(false);
        let store_full = full.subscribe();
        let terms = CommitTerms { deadline: deadline.clone(), full };
        let (stop_loop, stopped) = watch::channel(false);
        let bounds = settings.store.bounds();
        let commit_loop = CommitLoop::new(decisions, queue, sinks, retention, bounds, terms, store, commit, stopped);
        let (role_commands, ordered) = mpsc::channel(ROLE_COMMANDS);
        let welcome = LeaderWelcome {
            version: PROTOCOL_VERSION,
            cluster: cluster.uid,
            cluster_name: cluster.name.clone(),
            heartbeat: settings.timing.heartbeat,
            lease: settings.timing.lease,
            masters: Vec::new(),
        };
        let leading = Arc::new(LeaderContext {
            epoch,
            cluster,
            deadline,
            since: won.wall,
            won: won.time,
            metrics: node.metrics.clone(),
            traces: node.traces,
            address: node.address.clone(),
            store: settings.store.kind(),
            quarantined,
            view,
            broker,
            links,
            sessions,
            inputs,
            welcome: Arc::new(welcome),
            admission: Arc::new(Semaphore::new(HELLOS)),
            poison_inputs: node.poison_inputs.clone(),
            liveness,
            election: node.candidate.election(),
            recovers_until: won.wall + settings.timing.wait(),
            is_open: settings.is_open,
            takes_plaintext: settings.tls.as_ref().is_some_and(|tls| tls.takes_plaintext),
            store_full,
            undecided: UndecidedRequests::default(),
            role_commands,
        });
        let publishing = Box::pin(publishing);
        Ok(Ok(Active { node, leading, commit_loop, stop_loop, publishing, role_commands: ordered }))
    }
}

/// Whether the new leader waits for this worker.
fn is_awaited(worker: &WorkerRecord) -> bool {
    !worker.lost && !worker.forgotten
}

fn report(prepared: &WarmState) {
    let follower = &prepared.follower;
    tracing::info!(
        commit = prepared.commit.0,
        drivers = follower.drivers(),
        applications = follower.applications(),
        workers = follower.workers().count(),
        "loaded"
    );
    for record in &prepared.quarantined {
        tracing::error!(key = %record.key, error = %record.error, "a record cannot be read; nothing it names is placed");
    }
}
