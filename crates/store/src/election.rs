//! Who leads and who waits, as everyone in the process sees it.

use std::sync::Arc;

use muster_types::{Epoch, WallTime};
use tokio::sync::{mpsc, oneshot, watch};

use crate::error::Cause;

/// A master that leads or waits to, as it wrote itself into the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What its epoch is once it leads: the generation, the creation revision of its key, its
    /// random uid.
    pub epoch: Epoch,
    /// Where others reach it.
    pub address: String,
    /// What it runs.
    pub version: String,
    /// Since when it stands for election, by its own wall clock.
    pub since: WallTime,
}

/// Who leads and who waits, in the order of succession: the first leads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeaderView {
    /// Everyone who stands for election. Empty while nobody leads, or before anything is known.
    pub members: Vec<Member>,
    /// Our own place in `members`, while we have a key.
    pub own: Option<usize>,
    /// The store's generation; 0 before anything is known.
    pub generation: u64,
    /// The store is older than what this process has seen of it, and its generation was not raised
    /// since: nobody may act on it.
    pub rolled_back: bool,
}

impl LeaderView {
    /// Who leads.
    pub fn leader(&self) -> Option<&Member> {
        self.members.first()
    }
}

/// A leader could not be deposed.
#[derive(Debug, thiserror::Error)]
pub enum ElectionError {
    /// This store has no election: its only process leads.
    #[error("this store has no election")]
    None,
    /// Too many wait already, or the candidate is gone.
    #[error("the store takes no request now")]
    Busy,
    /// The store refused: the key is still there.
    #[error("the store refused to delete an election key")]
    Refused {
        /// What it said.
        source: Cause,
    },
    /// The store did not answer in time: the key may be deleted or not, which the standing will
    /// show.
    #[error("the store did not answer")]
    Unanswered {
        /// Why.
        source: Cause,
    },
}

/// What whoever holds the store is asked about a leader's key.
#[derive(Debug)]
pub enum KeyRequest {
    /// Delete it. Answered with whether it was deleted by this.
    Depose(Epoch, oneshot::Sender<Result<bool, ElectionError>>),
    /// Say whether it is there, now and beyond doubt.
    Holds(Epoch, oneshot::Sender<Result<bool, ElectionError>>),
}

/// What everyone in the process sees of the election. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LeaderWatch {
    view: watch::Receiver<Arc<LeaderView>>,
    key_requests: Option<mpsc::Sender<KeyRequest>>,
}

impl LeaderWatch {
    /// An election in which nobody can be deposed, and what moves it.
    pub fn kept(first: LeaderView) -> (LeaderWatchKeeper, LeaderWatch) {
        let (sender, view) = watch::channel(Arc::new(first));
        (LeaderWatchKeeper(sender), LeaderWatch { view, key_requests: None })
    }

    /// The same, with someone who answers for the keys.
    #[must_use]
    pub fn answered_by(self, key_requests: mpsc::Sender<KeyRequest>) -> LeaderWatch {
        LeaderWatch { key_requests: Some(key_requests), ..self }
    }

    /// As it is now.
    pub fn view(&self) -> Arc<LeaderView> {
        self.view.borrow().clone()
    }

    /// The standing with its changes; what is shown now counts as seen.
    pub fn receiver(&self) -> watch::Receiver<Arc<LeaderView>> {
        let mut receiver = self.view.clone();
        receiver.mark_unchanged();
        receiver
    }

    /// Ready once the standing is another than when this was last ready; never where nothing can
    /// change any more.
    pub async fn changed(&mut self) {
        if self.view.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// Whether this epoch's key is in the store, now and beyond doubt. A store that one process
    /// holds knows no other leader.
    pub async fn holds(&self, leader: Epoch) -> Result<bool, ElectionError> {
        match &self.key_requests {
            None => Ok(true),
            Some(key_requests) => ask(key_requests, |reply| KeyRequest::Holds(leader, reply)).await,
        }
    }

    /// Deletes the election key of a dead leader if its creation revision is still that of this
    /// epoch. `Ok(true)`: it was deleted by this call.
    ///
    /// Only ever sensible for the next in standby order. When it may be done, and how often, is the
    /// caller's to know.
    pub async fn depose(&self, leader: Epoch) -> Result<bool, ElectionError> {
        let key_requests = self.key_requests.as_ref().ok_or(ElectionError::None)?;
        ask(key_requests, |reply| KeyRequest::Depose(leader, reply)).await
    }
}

async fn ask(
    key_requests: &mpsc::Sender<KeyRequest>,
    inquiry: impl FnOnce(oneshot::Sender<Result<bool, ElectionError>>) -> KeyRequest,
) -> Result<bool, ElectionError> {
    let (reply, answer) = oneshot::channel();
    key_requests.try_send(inquiry(reply)).map_err(|_| ElectionError::Busy)?;
    answer.await.unwrap_or(Err(ElectionError::Busy))
}

/// Moves the standing that an [`LeaderWatch`] shows.
#[derive(Debug)]
pub struct LeaderWatchKeeper(watch::Sender<Arc<LeaderView>>);

impl LeaderWatchKeeper {
    /// Shows another standing; one that is equal wakes nobody.
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
