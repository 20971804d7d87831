//! Leads, and loads.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use muster_core::{ClusterInfo, Core, liveness};
use muster_proto::{PROTOCOL_VERSION, Welcome};
use muster_store::{Candidate, Leader, Store};
use muster_types::{Now, Snapshot, WallTime, WorkerRecord};
use tokio::sync::{Semaphore, mpsc, watch};

use super::active::Active;
use super::fault::Fault;
use super::standby::{Node, Standby};
use crate::commit::{CommitLoop, Decisions, Outlets, Terms, inbox};
use crate::entropy::KernelEntropy;
use crate::events::{Hub, Retention, publisher};
use crate::leading::Leading;
use crate::link::Links;
use crate::sessions::Sessions;
use crate::view::View;

/// Hellos that are taken at one time. A hello costs a commit and an inventory; beyond a few dozen at once they only wait for each other.
const HELLOS: usize = 64;

/// Orders to the role that may wait: one is enough to end it.
const ORDERS: usize = 4;

/// A leader that has not loaded yet.
pub(crate) struct Recovering<C: Candidate> {
    /// What outlives the role.
    pub node: Node<C>,
    /// The term.
    pub leader: Leader<C::Store>,
    /// When it began.
    pub won: Now,
}

impl<C: Candidate> Recovering<C>
where
    C::Store: 'static,
{
    /// Loads everything and builds the active leader; `Err` within is a master that stands by again, because the term was over before.
    pub(crate) async fn run(self) -> Result<Result<Active<C>, Standby<C>>, Fault> {
        let Recovering { mut node, mut leader, won } = self;
        let snapshot = match leader.store.load().await {
            Ok(snapshot) => snapshot,
            Err(error) if error.is_fatal() => return Err(Fault::Load(error)),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot load; standing by again");
                node.candidate.resign(leader).await;
                return Ok(Err(Standby(node)));
            }
        };
        let Leader { epoch, cluster, deadline, store } = leader;
        report(&snapshot);
        let settings = node.settings.clone();
        let commit = snapshot.commit;
        let retention = Retention::load(settings.events, commit, &snapshot.events);
        let hub = Arc::new(Hub::new(epoch.generation, commit, retention.forgotten(), &snapshot.events));
        let mut table = liveness::Table::new();
        table.reset_all(snapshot.workers.iter().filter(|worker| is_awaited(worker)).map(|worker| worker.uid), won.time);
        let quarantined = snapshot.quarantined.clone();

        let mut entropy = KernelEntropy::open().map_err(Fault::Entropy)?;
        let info = ClusterInfo { uid: cluster.uid, name: cluster.name.clone(), generation: epoch.generation };
        let core = Core::load(settings.core.clone(), info, snapshot, won, &mut entropy);

        let (mailbox, inbox) = inbox();
        let (publisher, publishing) = publisher(hub.clone(), epoch.generation);
        let view = Arc::new(View::default());
        let links = Arc::new(Links::default());
        let sessions = Arc::new(Sessions::new(mailbox.links.clone()));
        let liveness = Arc::new(Mutex::new(table));
        let outlets = Outlets {
            view: view.clone(),
            publisher,
            links: links.clone(),
            sessions: sessions.clone(),
            liveness: liveness.clone(),
            deadline: deadline.clone(),
        };
        let decisions = Decisions::new(core, entropy);
        let full = watch::Sender::new(false);
        let store_full = full.subscribe();
        let terms = Terms { deadline: deadline.clone(), full };
        let (stop_loop, stopped) = watch::channel(false);
        let bounds = settings.store.bounds();
        let commit_loop = CommitLoop::new(decisions, inbox, outlets, retention, bounds, terms, store, commit, stopped);
        let (orders, ordered) = mpsc::channel(ORDERS);
        let welcome = Welcome {
            version: PROTOCOL_VERSION,
            cluster: cluster.uid,
            cluster_name: cluster.name.clone(),
            heartbeat: settings.timing.heartbeat,
            lease: settings.timing.lease,
            masters: Vec::new(),
        };
        let leading = Arc::new(Leading {
            epoch,
            cluster,
            deadline,
            since: won.wall,
            address: node.address.clone(),
            store: settings.store.kind(),
            quarantined,
            view,
            hub,
            links,
            sessions,
            mailbox,
            welcome: Arc::new(welcome),
            admission: Arc::new(Semaphore::new(HELLOS)),
            refused: node.refused.clone(),
            liveness,
            election: node.candidate.election(),
            recovers_until: WallTime(won.wall.0.saturating_add(millis(settings.timing.wait()))),
            store_full,
            orders,
        });
        let publishing = Box::pin(publishing);
        Ok(Ok(Active { node, leading, commit_loop, stop_loop, publishing, orders: ordered }))
    }
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

/// Who is waited for from the win on.
fn is_awaited(worker: &WorkerRecord) -> bool {
    !worker.lost && !worker.forgotten
}

fn report(snapshot: &Snapshot) {
    tracing::info!(
        commit = snapshot.commit.0,
        drivers = snapshot.drivers.len(),
        applications = snapshot.applications.len(),
        workers = snapshot.workers.len(),
        "loaded"
    );
    for record in &snapshot.quarantined {
        tracing::error!(key = %record.key, error = %record.error, "a record cannot be read; nothing it names is placed");
    }
}
