//! Decides which master answers a call, and how long the call is held while none does.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_proto::errors::Failure;
use muster_proto::methods;
use muster_store::{LeaderView, LeaderWatch, Member};
use muster_tls::Trust;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tonic::codegen::http::HeaderValue;

use super::peer::Peer;
use crate::leader::LeaderSlot;

/// How long a call is held while nobody leads. A leader that steps down or dies has a successor
/// within a fraction of this. The caller is told of a longer outage, and decides whether to wait.
pub(super) const HOLD: Duration = Duration::from_secs(1);
/// The pause between two tries while no change is noticed.
const PAUSE: Duration = Duration::from_millis(25);
/// Calls that are forwarded or held at one time. Each may hold a request of up to a mebibyte.
const CALLS: usize = 2048;

/// Which master answers a call.
#[derive(Debug)]
pub(super) enum CallTarget {
    /// This master, which leads.
    Own,
    /// This master, once it has loaded.
    Soon,
    /// Another master.
    Other(Member),
    /// Nobody leads.
    Nobody,
}

/// What the layer knows: who leads, and how to reach it.
#[derive(Debug)]
pub(crate) struct Router {
    pub(super) slot: Arc<LeaderSlot>,
    election: LeaderWatch,
    trust: Option<Trust>,
    peer: Mutex<Option<Peer>>,
    calls: Semaphore,
    /// The header for answers, with the view from which it was made.
    masters: Mutex<(Arc<LeaderView>, Option<HeaderValue>)>,
}

impl Router {
    pub(crate) fn new(slot: Arc<LeaderSlot>, election: LeaderWatch, trust: Option<Trust>) -> Router {
        let view = election.view();
        Router {
            slot,
            trust,
            peer: Mutex::new(None),
            calls: Semaphore::new(CALLS),
            masters: Mutex::new((view.clone(), header_of(&view))),
            election,
        }
    }

    /// Whether masters speak TLS with each other.
    pub(super) fn is_encrypted(&self) -> bool {
        self.trust.is_some()
    }

    /// Whether only the leader answers calls of this path.
    pub(super) fn concerns(path: &str) -> bool {
        // Every master answers these from its own state.
        const OWN: [&str; 3] = [
            "/muster.v1.MasterService/WatchLeader",
            "/muster.v1.MasterService/Backup",
            "/muster.v1.AccessService/GetTrustBundle",
        ];
        let services = ["/muster.v1.MasterService/", "/muster.v1.ApplicationService/", "/muster.v1.AccessService/"];
        services.iter().any(|of| path.starts_with(of)) && !OWN.contains(&path)
    }

    /// Whether a call of this path may be repeated, whatever became of the first try.
    pub(super) fn is_repeatable(path: &str) -> bool {
        // A repeated opening only cuts the older session, which is the caller's own.
        methods::READS.contains(&path) || path == "/muster.v1.ApplicationService/WatchApplication"
    }

    /// Which master answers a call now.
    pub(super) fn target(&self) -> CallTarget {
        if self.slot.leading().is_ok() {
            return CallTarget::Own;
        }
        let view = self.election.view();
        match (view.members.first(), view.own) {
            (None, _) => CallTarget::Nobody,
            (Some(_), Some(0)) => CallTarget::Soon,
            (Some(first), _) => CallTarget::Other(first.clone()),
        }
    }

    /// A permit to forward or hold one call. Fails if too many calls are under way.
    pub(super) fn permit(&self) -> Result<SemaphorePermit<'_>, Failure> {
        let full = |_| Failure::QueueFull { what: "this master's queue of forwarded calls".to_owned() };
        self.calls.try_acquire().map_err(full)
    }

    /// The connection to a leader. Only the last one is kept.
    pub(super) fn peer(&self, leader: &Member) -> Result<Peer, Failure> {
        let mut kept = self.peer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(peer) = kept.as_ref().filter(|peer| peer.is_of(leader)) {
            return Ok(peer.clone());
        }
        let peer = Peer::new(leader, self.trust.clone())?;
        *kept = Some(peer.clone());
        Ok(peer)
    }

    /// Watches for changes from now on.
    pub(super) fn changes(&self) -> RouteChanges {
        RouteChanges { view: self.election.receiver(), slot: self.slot.changes() }
    }

    /// Ready once `leader` no longer leads.
    pub(super) fn succeeded(&self, leader: &Member) -> impl Future<Output = ()> + Send + use<> {
        let (mut election, epoch) = (self.election.clone(), leader.epoch);
        async move {
            while election.view().members.first().is_some_and(|first| first.epoch == epoch) {
                election.changed().await;
            }
        }
    }

    /// The masters that are known, for the header of every answer.
    pub(super) fn masters(&self) -> Option<HeaderValue> {
        let view = self.election.view();
        let mut made = self.masters.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&made.0, &view) {
            *made = (view.clone(), header_of(&view));
        }
        made.1.clone()
    }
}

/// Notices changes that may give a call another target.
pub(super) struct RouteChanges {
    view: watch::Receiver<Arc<LeaderView>>,
    slot: watch::Receiver<u64>,
}

impl RouteChanges {
    /// Waits until the slot or the view has changed, or for a moment.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            Ok(()) = self.view.changed() => {}
            Ok(()) = self.slot.changed() => {}
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

fn header_of(view: &LeaderView) -> Option<HeaderValue> {
    let addresses: Vec<&str> =
        view.members.iter().map(|member| member.address.as_str()).filter(|address| !address.is_empty()).collect();
    if addresses.is_empty() { None } else { HeaderValue::try_from(addresses.join(",")).ok() }
}
