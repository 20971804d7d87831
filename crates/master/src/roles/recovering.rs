//! Leads, and loads.

use std::sync::{Arc, Mutex};

use muster_core::{ClusterInfo, Core, liveness};
use muster_proto::{PROTOCOL_VERSION, Welcome};
use muster_store::{Candidate, Leader, Store};
use muster_types::{Now, Snapshot, WorkerRecord};
use tokio::sync::Semaphore;

use super::active::Active;
use super::fault::Fault;
use super::standby::Node;
use crate::commit::{Bounds, CommitLoop, Decisions, Outlets, inbox};
use crate::entropy::KernelEntropy;
use crate::events::{Hub, Retention, publisher};
use crate::leading::Leading;
use crate::link::Links;
use crate::sessions::Sessions;
use crate::view::View;

/// Hellos that are taken at one time. A hello costs a commit and an inventory; beyond a few dozen at once they only wait for each other.
const HELLOS: usize = 64;

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
    /// Loads everything and builds the active leader.
    pub(crate) async fn run(self) -> Result<Active<C>, Fault> {
        let Recovering { node, leader, won } = self;
        let Leader { epoch, cluster, deadline, mut store } = leader;
        let snapshot = store.load().await.map_err(Fault::Load)?;
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
        };
        let decisions = Decisions::new(core, entropy);
        let commit_loop = CommitLoop::new(decisions, inbox, outlets, retention, Bounds::LOCAL, store, commit);
        let welcome = Welcome {
            version: PROTOCOL_VERSION,
            cluster: cluster.uid,
            cluster_name: cluster.name.clone(),
            heartbeat: settings.timing.heartbeat,
            lease: settings.timing.lease,
            masters: vec![node.address.clone()],
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
        });
        Ok(Active { node, leading, commit_loop, publishing: Box::pin(publishing) })
    }
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
