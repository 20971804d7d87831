//! The election as the process sees it: the leader and the standbys.

use std::sync::Arc;

use muster_types::{Epoch, WallTime};
use tokio::sync::{mpsc, oneshot, watch};

use crate::error::Cause;

/// A leader or standby, as it has written itself into the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its epoch once it leads: the generation, the creation revision of its key, and its random
    /// uid.
    pub epoch: Epoch,
    /// The address at which others reach it.
    pub address: String,
    /// The version of Muster that it runs.
    pub version: String,
    /// When its candidacy began, by its own wall clock.
    pub since: WallTime,
}

/// The masters in standby order; the first one leads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeaderView {
    /// All masters with an election key. Empty while nobody leads, or before anything is known.
    pub members: Vec<Member>,
    /// The index of this master in `members`, while it has a key.
    pub own: Option<usize>,
    /// The store's generation; 0 before anything is known.
    pub generation: u64,
    /// The store is older than the state that this process has seen, and its generation was not
    /// raised since. No master may act on it.
    pub rolled_back: bool,
}

impl LeaderView {
    /// The leader.
    pub fn leader(&self) -> Option<&Member> {
        self.members.first()
    }
}

/// A request about an election key failed.
#[derive(Debug, thiserror::Error)]
pub enum ElectionError {
    /// This store has no election: its only process leads.
    #[error("this store has no election")]
    None,
    /// Too many requests wait already, or the candidate is gone.
    #[error("the store takes no request now")]
    Busy,
    /// The store refused: the key is still there.
    #[error("the store refused to delete an election key")]
    Refused {
        /// What it said.
        source: Cause,
    },
    /// The store did not answer in time: the key may be deleted or not, which the view will show.
    #[error("the store did not answer")]
    Unanswered {
        /// Why.
        source: Cause,
    },
}

/// A request about a leader's key to the task that holds the connection to the store.
#[derive(Debug)]
pub enum KeyRequest {
    /// Delete the key. The answer is whether this request deleted it.
    Depose(Epoch, oneshot::Sender<Result<bool, ElectionError>>),
    /// Read from the store whether the key exists at present.
    Holds(Epoch, oneshot::Sender<Result<bool, ElectionError>>),
}

/// The view of the election that the process shares. It is cheap to clone.
#[derive(Debug, Clone)]
pub struct LeaderWatch {
    view: watch::Receiver<Arc<LeaderView>>,
    key_requests: Option<mpsc::Sender<KeyRequest>>,
}

impl LeaderWatch {
    /// A watch without a task for key requests, and the keeper that changes its view.
    pub fn kept(first: LeaderView) -> (LeaderWatchKeeper, LeaderWatch) {
        let (sender, view) = watch::channel(Arc::new(first));
        (LeaderWatchKeeper(sender), LeaderWatch { view, key_requests: None })
    }

    /// The same watch, with a task that answers key requests.
    #[must_use]
    pub fn answered_by(self, key_requests: mpsc::Sender<KeyRequest>) -> LeaderWatch {
        LeaderWatch { key_requests: Some(key_requests), ..self }
    }

    /// The present view.
    pub fn view(&self) -> Arc<LeaderView> {
        self.view.borrow().clone()
    }

    /// The view with its changes; the present one counts as seen.
    pub fn receiver(&self) -> watch::Receiver<Arc<LeaderView>> {
        let mut receiver = self.view.clone();
        receiver.mark_unchanged();
        receiver
    }

    /// Completes when the view differs from that at the last completion; never when no change is
    /// possible any more.
    pub async fn changed(&mut self) {
        if self.view.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// Whether this epoch's key is in the store at present, by a read that cannot be stale. A store
    /// that one process holds knows no other leader.
    pub async fn holds(&self, leader: Epoch) -> Result<bool, ElectionError> {
        match &self.key_requests {
            None => Ok(true),
            Some(key_requests) => ask(key_requests, |reply| KeyRequest::Holds(leader, reply)).await,
        }
    }

    /// Deletes the election key of a dead leader if its creation revision is still that of this
    /// epoch. `Ok(true)` means that this call deleted it.
    ///
    /// Only the next master in standby order should call it. The caller decides when, and how
    /// often.
    pub async fn depose(&self, leader: Epoch) -> Result<bool, ElectionError> {
        let key_requests = self.key_requests.as_ref().ok_or(ElectionError::None)?;
        ask(key_requests, |reply| KeyRequest::Depose(leader, reply)).await
    }
}

async fn ask(
    key_requests: &mpsc::Sender<KeyRequest>,
    request: impl FnOnce(oneshot::Sender<Result<bool, ElectionError>>) -> KeyRequest,
) -> Result<bool, ElectionError> {
    let (reply, answer) = oneshot::channel();
    key_requests.try_send(request(reply)).map_err(|_| ElectionError::Busy)?;
    answer.await.unwrap_or(Err(ElectionError::Busy))
}

/// Changes the view that a [`LeaderWatch`] shows.
#[derive(Debug)]
pub struct LeaderWatchKeeper(watch::Sender<Arc<LeaderView>>);

impl LeaderWatchKeeper {
    /// Sets the view; an equal one wakes nobody.
    pub fn set(&self, view: LeaderView) {
        self.0.send_if_modified(|shown| {
            let differs = **shown != view;
            if differs {
                *shown = Arc::new(view);
            }
            differs
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_is_seen_and_an_equal_standing_is_none() {
        let (keeper, mut election) = LeaderWatch::kept(LeaderView::default());
        keeper.set(LeaderView::default());
        assert!(tokio::time::timeout(std::time::Duration::ZERO, election.changed()).await.is_err());
        keeper.set(LeaderView { generation: 2, ..LeaderView::default() });
        election.changed().await;
        assert_eq!(election.view().generation, 2);
    }

    #[tokio::test]
    async fn nobody_is_deposed_where_nobody_takes_it() {
        let (_keeper, election) = LeaderWatch::kept(LeaderView::default());
        let epoch = Epoch { generation: 1, revision: 1, leader: muster_types::LeaderUid(1) };
        assert!(matches!(election.depose(epoch).await, Err(ElectionError::None)));
    }
}
