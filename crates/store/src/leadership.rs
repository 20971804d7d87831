//! The trait of leadership.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use muster_types::{ClusterRecord, Epoch, Time, WallTime};
use tokio::sync::watch;

use crate::{Archive, CampaignError, LeaderWatch, ReplicaHandle, Store};

/// The data of a new cluster, which the first open of an empty store makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCluster {
    /// The cluster's name. An existing cluster keeps its name.
    pub name: String,
    /// Whether the name is only the default. If it was chosen, a shared store whose cluster has
    /// another name is refused, because two clusters were given one location.
    pub is_name_default: bool,
    /// The time of its making.
    pub now: WallTime,
}

/// The settings of a candidate. A store that one process holds ignores those that it does not need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidacy {
    /// The address at which others reach this master.
    pub address: String,
    /// The version of Muster that it runs.
    pub version: String,
    /// How long a shared store waits for a silent leader.
    pub lease: Duration,
    /// How long before the end of its lease a leader's deadline is, because the clocks of this
    /// machine and of the store may run at different rates. More than half the lease counts as
    /// half.
    pub margin: Duration,
    /// The directory in which it saves its election key, so that its next start need not wait for
    /// this lease to end. The directory is locked.
    pub state_dir: Option<PathBuf>,
}

impl Candidacy {
    /// A candidacy with the usual margin and without a state directory.
    ///
    /// The margin is an eighth of the lease. Clocks are assumed to drift by less than 2 %, so this
    /// is six times the need. A leader that sends a keep-alive every sixth of the lease can still
    /// lose four of them.
    pub fn new(address: String, version: String, lease: Duration) -> Candidacy {
        Candidacy { address, version, lease, margin: lease / 8, state_dir: None }
    }
}

/// A process that may lead.
///
/// `campaign → Leader → (deadline ended | resign) → campaign …`: every win has a larger epoch than
/// every earlier one.
pub trait Candidate: Send {
    /// The records, guarded by one term.
    type Store: Store;

    /// Waits until this process leads. The future may be dropped at any time; then the process does
    /// not lead.
    fn campaign(&mut self) -> impl Future<Output = Result<Leader<Self::Store>, CampaignError>> + Send;

    /// The view of the election, whether this process leads or not.
    fn election(&self) -> LeaderWatch;

    /// The replica of the records that this process keeps as a standby.
    fn replica(&self) -> ReplicaHandle {
        ReplicaHandle::default()
    }

    /// Takes backups, whether it leads or not.
    fn archive(&self) -> Archive;

    /// Ends a term on purpose, so that the next in standby order need not wait for it to expire.
    /// The outcome of transactions still in flight is unknown.
    fn resign(&mut self, leader: Leader<Self::Store>) -> impl Future<Output = ()> + Send;
}

/// One term of leadership.
#[derive(Debug)]
pub struct Leader<S> {
    /// The epoch of the term.
    pub epoch: Epoch,
    /// The cluster that is led.
    pub cluster: ClusterRecord,
    /// The end of the term. Every part that answers for the leader has a clone.
    pub deadline: Deadline,
    /// The records.
    pub store: S,
}

impl<S> Leader<S> {
    /// The same term with another type of store.
    pub fn map_store<T>(self, map: impl FnOnce(S) -> T) -> Leader<T> {
        Leader { epoch: self.epoch, cluster: self.cluster, deadline: self.deadline, store: map(self.store) }
    }
}

/// The moment until which a term stands. It must be compared with `CLOCK_BOOTTIME` at the moment of
/// use: after an answer is built and before it is sent. It is cheap to clone and to read.
#[derive(Debug, Clone)]
pub struct Deadline(Option<watch::Receiver<Time>>);

impl Deadline {
    /// The deadline of a term that ends with its process only.
    pub fn never() -> Deadline {
        Deadline(None)
    }

    /// A deadline that moves, and the keeper that moves it.
    pub fn moving(first: Time) -> (DeadlineKeeper, Deadline) {
        let (sender, receiver) = watch::channel(first);
        (DeadlineKeeper(sender), Deadline(Some(receiver)))
    }

    /// The deadline at present.
    pub fn get(&self) -> Time {
        match &self.0 {
            None => Time(u64::MAX),
            Some(receiver) => *receiver.borrow(),
        }
    }

    /// Whether the term stands at this reading of the clock.
    pub fn stands(&self, now: Time) -> bool {
        now < self.get()
    }

    /// Completes when the term is ended early (its key was deleted, or its keeper is gone). A
    /// deadline that merely passes is noticed only by a comparison.
    pub async fn ended(&mut self) {
        match &mut self.0 {
            None => std::future::pending().await,
            Some(receiver) => {
                // An error means that the keeper is gone, which ends the term too.
                let _ = receiver.wait_for(|deadline| *deadline == Time(0)).await;
            }
        }
    }
}

/// Moves the deadline of a term. Dropping it ends the term.
#[derive(Debug)]
pub struct DeadlineKeeper(watch::Sender<Time>);

impl DeadlineKeeper {
    /// Moves the deadline forward; one that is not later changes nothing, and an ended term stays
    /// ended.
    pub fn extend(&self, deadline: Time) {
        self.0.send_if_modified(|present| {
            let later = *present != Time(0) && deadline > *present;
            if later {
                *present = deadline;
            }
            later
        });
    }

    /// Ends the term now.
    pub fn end(&self) {
        self.0.send_replace(Time(0));
    }
}

impl Drop for DeadlineKeeper {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_only_moves_forward() {
        let (keeper, deadline) = Deadline::moving(Time(100));
        keeper.extend(Time(200));
        keeper.extend(Time(150));
        assert_eq!(deadline.get(), Time(200));
        assert!(deadline.stands(Time(199)));
        assert!(!deadline.stands(Time(200)));
    }

    #[tokio::test]
    async fn an_ended_term_stays_ended() {
        let (keeper, mut deadline) = Deadline::moving(Time(100));
        keeper.end();
        keeper.extend(Time(200));
        deadline.ended().await;
        assert!(!deadline.stands(Time(0)));
    }

    #[tokio::test]
    async fn a_term_ends_with_its_keeper() {
        let (keeper, mut deadline) = Deadline::moving(Time(100));
        drop(keeper);
        deadline.ended().await;
        assert!(!deadline.stands(Time(1)));
    }

    #[test]
    fn a_term_without_a_deadline_always_stands() {
        assert!(Deadline::never().stands(Time(u64::MAX - 1)));
    }
}
