//! Who leads and who waits, as everyone in the process sees it.

use std::fmt;
use std::sync::Arc;

use muster_types::{Epoch, WallTime};
use tokio::sync::{mpsc, oneshot, watch};

use crate::error::Cause;

/// A master that leads or waits to, as it wrote itself into the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What its epoch is once it leads: the generation, the creation revision of its key, its random uid.
    pub epoch: Epoch,
    /// Where others reach it.
    pub address: String,
    /// What it runs.
    pub version: String,
    /// Since when it stands in line, by its own wall clock.
    pub since: WallTime,
}

/// Who leads and who waits, in the order of succession: the first leads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// Everyone in line. Empty while nobody leads, or before anything is known.
    pub members: Vec<Member>,
    /// Our own place in `members`, while we have a key.
    pub own: Option<usize>,
    /// The store's generation; 0 before anything is known.
    pub generation: u64,
    /// The store is older than what this process has seen of it, and its generation was not raised since: nobody may act on it.
    pub went_back: bool,
}

impl Standing {
    /// Who leads.
    pub fn leader(&self) -> Option<&Member> {
        self.members.first()
    }

    /// Whether we succeed the leader.
    pub fn is_next(&self) -> bool {
        self.own == Some(1)
    }
}

/// A leader could not be deposed.
#[derive(Debug)]
pub enum ElectionError {
    /// This store has no election: its only process leads.
    None,
    /// Too many wait already, or the candidate is gone.
    Busy,
    /// The store refused: the key is still there.
    Refused {
        /// What it said.
        source: Cause,
    },
    /// The store did not answer in time: the key may be deleted or not, which the standing will show.
    Unanswered {
        /// Why.
        source: Cause,
    },
}

impl fmt::Display for ElectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ElectionError::None => f.write_str("this store has no election"),
            ElectionError::Busy => f.write_str("the store takes no request now"),
            ElectionError::Refused { .. } => f.write_str("the store refused to delete an election key"),
            ElectionError::Unanswered { .. } => f.write_str("the store did not answer"),
        }
    }
}

impl std::error::Error for ElectionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ElectionError::None | ElectionError::Busy => None,
            ElectionError::Unanswered { source } | ElectionError::Refused { source } => Some(source.as_ref()),
        }
    }
}

/// What whoever holds the store is asked about a leader's key.
#[derive(Debug)]
pub enum Inquiry {
    /// Delete it. Answered with whether it was deleted by this.
    Depose(Epoch, oneshot::Sender<Result<bool, ElectionError>>),
    /// Say whether it is there, now and beyond doubt.
    Holds(Epoch, oneshot::Sender<Result<bool, ElectionError>>),
}

/// What everyone in the process sees of the election. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Election {
    standing: watch::Receiver<Arc<Standing>>,
    inquiries: Option<mpsc::Sender<Inquiry>>,
}

impl Election {
    /// An election in which nobody can be deposed, and what moves it.
    pub fn kept(first: Standing) -> (ElectionKeeper, Election) {
        let (sender, standing) = watch::channel(Arc::new(first));
        (ElectionKeeper(sender), Election { standing, inquiries: None })
    }

    /// The same, with someone who answers for the keys.
    #[must_use]
    pub fn answered_by(self, inquiries: mpsc::Sender<Inquiry>) -> Election {
        Election { inquiries: Some(inquiries), ..self }
    }

    /// As it is now.
    pub fn standing(&self) -> Arc<Standing> {
        self.standing.borrow().clone()
    }

    /// The standing with its changes; what is shown now counts as seen.
    pub fn receiver(&self) -> watch::Receiver<Arc<Standing>> {
        let mut receiver = self.standing.clone();
        receiver.mark_unchanged();
        receiver
    }

    /// Ready once the standing is another than when this was last ready; never where nothing can change any more.
    pub async fn changed(&mut self) {
        if self.standing.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// Whether this epoch's key is in the store, now and beyond doubt. A store that one process holds knows no other leader.
    pub async fn holds(&self, leader: Epoch) -> Result<bool, ElectionError> {
        match &self.inquiries {
            None => Ok(true),
            Some(inquiries) => ask(inquiries, |reply| Inquiry::Holds(leader, reply)).await,
        }
    }

    /// Deletes the election key of a dead leader if its creation revision is still that of this epoch. `Ok(true)`: it was
    /// deleted by this call.
    ///
    /// Only ever sensible for the next in line. When it may be done, and how often, is the caller's to know.
    pub async fn depose(&self, leader: Epoch) -> Result<bool, ElectionError> {
        let inquiries = self.inquiries.as_ref().ok_or(ElectionError::None)?;
        ask(inquiries, |reply| Inquiry::Depose(leader, reply)).await
    }
}

async fn ask(
    inquiries: &mpsc::Sender<Inquiry>,
    inquiry: impl FnOnce(oneshot::Sender<Result<bool, ElectionError>>) -> Inquiry,
) -> Result<bool, ElectionError> {
    let (reply, answer) = oneshot::channel();
    inquiries.try_send(inquiry(reply)).map_err(|_| ElectionError::Busy)?;
    answer.await.unwrap_or(Err(ElectionError::Busy))
}

/// Moves the standing that an [`Election`] shows.
#[derive(Debug)]
pub struct ElectionKeeper(watch::Sender<Arc<Standing>>);

impl ElectionKeeper {
    /// Shows another standing; one that is equal wakes nobody.
    pub fn set(&self, standing: Standing) {
        self.0.send_if_modified(|shown| {
            let differs = **shown != standing;
            if differs {
                *shown = Arc::new(standing);
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
        let (keeper, mut election) = Election::kept(Standing::default());
        keeper.set(Standing::default());
        assert!(tokio::time::timeout(std::time::Duration::ZERO, election.changed()).await.is_err());
        keeper.set(Standing { generation: 2, ..Standing::default() });
        election.changed().await;
        assert_eq!(election.standing().generation, 2);
    }

    #[tokio::test]
    async fn nobody_is_deposed_where_nobody_takes_it() {
        let (_keeper, election) = Election::kept(Standing::default());
        let epoch = Epoch { generation: 1, revision: 1, leader: muster_types::LeaderUid(1) };
        assert!(matches!(election.depose(epoch).await, Err(ElectionError::None)));
    }
}
