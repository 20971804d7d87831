//! Whose turn a call is, and the wait while it is nobody's.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_proto::errors::Failure;
use muster_proto::methods;
use muster_store::{Election, Member, Standing};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tonic::codegen::http::HeaderValue;

use super::peer::Peer;
use crate::leading::Seat;

/// How long a call is held while nobody leads: a leader that steps down or dies is succeeded within a fraction of it. A longer outage is
/// told to the caller, who knows better whether to wait.
pub(super) const HOLD: Duration = Duration::from_secs(1);
/// Between two tries while nothing is heard of a change.
const PAUSE: Duration = Duration::from_millis(25);
/// Calls that are forwarded or held at one time. Each may hold a request of up to a mebibyte.
const CALLS: usize = 2048;

/// Whose turn a call is.
#[derive(Debug)]
pub(super) enum Turn {
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
pub(crate) struct Front {
    pub(super) seat: Arc<Seat>,
    election: Election,
    repeatable: HashSet<String>,
    peer: Mutex<Option<Peer>>,
    calls: Semaphore,
    /// The answer's header of the standing it was made for.
    masters: Mutex<(Arc<Standing>, Option<HeaderValue>)>,
}

impl Front {
    /// Of a master in its seat.
    pub(crate) fn new(seat: Arc<Seat>, election: Election) -> Front {
        let standing = election.standing();
        Front {
            seat,
            repeatable: repeatable(),
            peer: Mutex::new(None),
            calls: Semaphore::new(CALLS),
            masters: Mutex::new((standing.clone(), header_of(&standing))),
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
    pub(super) fn turn(&self) -> Turn {
        if self.seat.leading().is_ok() {
            return Turn::Own;
        }
        let standing = self.election.standing();
        match (standing.members.first(), standing.own) {
            (None, _) => Turn::Nobody,
            (Some(_), Some(0)) => Turn::Soon,
            (Some(first), _) => Turn::Other(first.clone()),
        }
    }

    /// A place among the calls under way.
    pub(super) fn place(&self) -> Result<SemaphorePermit<'_>, Failure> {
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
    pub(super) fn changes(&self) -> Changes {
        Changes { standing: self.election.receiver(), seat: self.seat.changes() }
    }

    /// Ready once somebody else leads than this one.
    pub(super) fn succeeded(&self, leader: &Member) -> impl Future<Output = ()> + Send + use<> {
        let (mut election, epoch) = (self.election.clone(), leader.epoch);
        async move {
            while election.standing().members.first().is_some_and(|first| first.epoch == epoch) {
                election.changed().await;
            }
        }
    }

    /// The masters that are known, for the header of every answer.
    pub(super) fn masters(&self) -> Option<HeaderValue> {
        let standing = self.election.standing();
        let mut made = self.masters.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&made.0, &standing) {
            *made = (standing.clone(), header_of(&standing));
        }
        made.1.clone()
    }
}

/// What may make a call another's turn.
pub(super) struct Changes {
    standing: watch::Receiver<Arc<Standing>>,
    seat: watch::Receiver<u64>,
}

impl Changes {
    /// Waits until the seat or the standing has changed, or for a moment.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            Ok(()) = self.standing.changed() => {}
            Ok(()) = self.seat.changed() => {}
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

fn header_of(standing: &Standing) -> Option<HeaderValue> {
    let addresses: Vec<&str> = standing.members.iter().map(|member| member.address.as_str()).collect();
    if addresses.is_empty() { None } else { HeaderValue::try_from(addresses.join(",")).ok() }
}
