//! Who answers a call, and how long it is held while nobody does.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_proto::errors::Failure;
use muster_proto::methods;
use muster_store::{LeaderView, LeaderWatch, Member};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tonic::codegen::http::HeaderValue;

use super::peer::Peer;
use crate::leader::LeaderSlot;

/// How long a call is held while nobody leads: a leader that steps down or dies is succeeded within
/// a fraction of it. A longer outage is told to the caller, who knows better whether to wait.
pub(super) const HOLD: Duration = Duration::from_secs(1);
/// Between two tries while nothing is heard of a change.
const PAUSE: Duration = Duration::from_millis(25);
/// Calls that are forwarded or held at one time. Each may hold a request of up to a mebibyte.
const CALLS: usize = 2048;

/// Whose turn a call is.
#[derive(Debug)]
pub(super) enum CallTarget {
    /// This master's: it leads.
    Own,
    /// This master's as soon as it has loaded.
    Soon,
    /// Another's.
    Other(Member),
    /// Nobody leads.
    Nobody,
}

/// What the layer knows: who leads, and how to reach it.
#[derive(Debug)]
pub(crate) struct Router {
    pub(super) slot: Arc<LeaderSlot>,
    election: LeaderWatch,
    repeatable: HashSet<String>,
    peer: Mutex<Option<Peer>>,
    calls: Semaphore,
    /// The answer's header of the standing it was made for.
    masters: Mutex<(Arc<LeaderView>, Option<HeaderValue>)>,
}

impl Router {
    /// Of a master in its slot.
    pub(crate) fn new(slot: Arc<LeaderSlot>, election: LeaderWatch) -> Router {
        let view = election.view();
        Router {
            slot,
            repeatable: repeatable(),
            peer: Mutex::new(None),
            calls: Semaphore::new(CALLS),
            masters: Mutex::new((view.clone(), header_of(&view))),
            election,
        }
    }

    /// Whether a path is one that only the leader answers.
    pub(super) fn concerns(path: &str) -> bool {
        let Some(method) = path.strip_prefix("/muster.v1.MasterService/") else {
            return path.starts_with("/muster.v1.ApplicationService/");
        };
        // Every master answers these from what it knows itself.
        !matches!(method, "WatchLeader" | "Backup")
    }

    /// Whether a method may be asked again, whatever became of the first try.
    pub(super) fn is_repeatable(&self, path: &str) -> bool {
        self.repeatable.contains(path)
    }

    /// Whose turn it is now.
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

    /// A place among the calls under way.
    pub(super) fn permit(&self) -> Result<SemaphorePermit<'_>, Failure> {
        let full = |_| Failure::QueueFull { what: "this master's queue of forwarded calls".to_owned() };
        self.calls.try_acquire().map_err(full)
    }

    /// The connection to a leader; one is kept, to the last that was asked.
    pub(super) fn peer(&self, leader: &Member) -> Result<Peer, Failure> {
        let mut kept = self.peer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(peer) = kept.as_ref().filter(|peer| peer.is_of(leader)) {
            return Ok(peer.clone());
        }
        let peer = Peer::new(leader)?;
        *kept = Some(peer.clone());
        Ok(peer)
    }

    /// Sees changes from now on.
    pub(super) fn changes(&self) -> RouteChanges {
        RouteChanges { view: self.election.receiver(), slot: self.slot.changes() }
    }

    /// Ready once somebody else leads than this one.
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

/// What may make a call another's turn.
pub(super) struct RouteChanges {
    view: watch::Receiver<Arc<LeaderView>>,
    slot: watch::Receiver<u64>,
}

impl RouteChanges {
    /// Waits until the slot or the standing has changed, or for a moment.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            Ok(()) = self.view.changed() => {}
            Ok(()) = self.slot.changed() => {}
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

fn repeatable() -> HashSet<String> {
    let mut paths = methods::reads();
    // Opening a session cuts the older one, which is the caller's own.
    paths.insert("/muster.v1.ApplicationService/WatchApplication".to_owned());
    paths
}

fn header_of(view: &LeaderView) -> Option<HeaderValue> {
    let addresses: Vec<&str> =
        view.members.iter().map(|member| member.address.as_str()).filter(|address| !address.is_empty()).collect();
    if addresses.is_empty() { None } else { HeaderValue::try_from(addresses.join(",")).ok() }
}
