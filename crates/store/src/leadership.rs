//! The trait of leadership.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use muster_types::{ClusterRecord, Epoch, Time, WallTime};
use tokio::sync::watch;

use crate::{Archive, CampaignError, LeaderWatch, ReplicaHandle, Store};

/// What a cluster is given if its store turns out to be empty: the first open makes the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCluster {
    /// The cluster's name. One that exists keeps the name it was made with.
    pub name: String,
    /// Whether nobody asked for that name. A shared store whose cluster has another name than one
    /// that was asked for is refused: two clusters were given one place.
    pub is_name_default: bool,
    /// When.
    pub now: WallTime,
}

/// How a process stands for election. What a store that one process holds has no use for is ignored
/// there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidacy {
    /// Where others reach this master.
    pub address: String,
    /// What it runs.
    pub version: String,
    /// How long a shared store waits for a leader that it does not hear.
    pub lease: Duration,
    /// By how much a leader's deadline comes before the end of its lease: the clocks of this
    /// machine and of the store may run at different rates. More than half the lease is taken as
    /// half.
    pub margin: Duration,
    /// Where it remembers its election key, so that its next start need not wait for the lease of
    /// this one. Locked.
    pub state_dir: Option<PathBuf>,
}

impl Candidacy {
    /// With the usual margin, and no memory.
    ///
    /// The margin is an eighth of the lease: clocks are assumed to drift by less than 2 %, so this
    /// is six times what is needed, and still leaves a leader that sends a keep-alive every sixth
    /// of the lease room for four that are lost.
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

    /// Waits until this process leads. May be dropped at any time; then it does not lead.
    fn campaign(&mut self) -> impl Future<Output = Result<Leader<Self::Store>, CampaignError>> + Send;

    /// What this process sees of the election, from now on and whether it leads or not.
    fn election(&self) -> LeaderWatch;

    /// What this process knows of the records while it waits to lead.
    fn replica(&self) -> ReplicaHandle {
        ReplicaHandle::default()
    }

    /// Takes backups, whether it leads or not.
    fn archive(&self) -> Archive;

    /// Ends a term on purpose, so that the next in standby order need not wait for it to expire.
    /// What the term still had in flight is unknown.
    fn resign(&mut self, leader: Leader<Self::Store>) -> impl Future<Output = ()> + Send;
}

/// One term of leadership.
#[derive(Debug)]
pub struct Leader<S> {
    /// Its number.
    pub epoch: Epoch,
    /// The cluster that is led.
    pub cluster: ClusterRecord,
    /// Until when. Cloned by whoever answers for the leader.
    pub deadline: Deadline,
    /// The records.
    pub store: S,
}

impl<S> Leader<S> {
    /// The same term with its store held in another way.
    pub fn map_store<T>(self, map: impl FnOnce(S) -> T) -> Leader<T> {
        Leader { epoch: self.epoch, cluster: self.cluster, deadline: self.deadline, store: map(self.store) }
    }
}

/// Reads until when a term stands. Compared with `CLOCK_BOOTTIME` at the moment of use: after an
/// answer is built, before it is sent. Cheap to clone and to read.
#[derive(Debug, Clone)]
pub struct Deadline(Option<watch::Receiver<Time>>);

impl Deadline {
    /// The deadline of a term that ends with its process only.
    pub fn never() -> Deadline {
        Deadline(None)
    }

    /// A deadline that moves, and what moves it.
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

    /// Ready once the term was ended early (its key was deleted, its keeper is gone); a deadline
    /// that merely passes is seen by comparing it.
    pub async fn ended(&mut self) {
        match &mut self.0 {
            None => std::future::pending().await,
            Some(receiver) => {
                // An error says that the keeper is gone, which is an end too.
                let _ = receiver.wait_for(|deadline| *deadline == Time(0)).await;
            }
        }
    }
}

/// Moves the deadline of a term. Dropping it ends the term.
#[derive(Debug)]
pub struct DeadlineKeeper(watch::Sender<Time>);

impl DeadlineKeeper {
    /// Moves the deadline forward; one that is not later changes nothing, and a term that was ended
    /// stays so.
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
