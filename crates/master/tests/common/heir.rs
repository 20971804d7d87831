//! A candidate that leads when the test says so, and loads for as long as the test says.

use std::sync::Arc;

use muster_store::{
    Archive, CampaignError, Candidate, CommitError, Leader, LeaderView, LeaderWatch, LeaderWatchKeeper, LoadError,
    MemoryCandidate, MemoryStore, Store, Transaction,
};
use muster_types::{Commit, Snapshot};
use tokio::sync::watch;

use super::follower::view_of;

/// Stands by, and wins once.
pub struct Heir {
    inner: MemoryCandidate,
    election: LeaderWatch,
    wins: watch::Receiver<bool>,
    loads: watch::Receiver<bool>,
}

/// Lets the test control an heir.
pub struct HeirControl {
    keeper: Arc<LeaderWatchKeeper>,
    wins: watch::Sender<bool>,
    loads: watch::Sender<bool>,
}

impl Heir {
    /// An heir of this leader.
    pub fn of(leader: &str) -> (Heir, HeirControl) {
        let (keeper, election) = LeaderWatch::kept(view_of(leader, 1));
        let ((win, wins), (load, loads)) = (watch::channel(false), watch::channel(false));
        let control = HeirControl { keeper: Arc::new(keeper), wins: win, loads: load };
        (Heir { inner: super::memory(), election, wins, loads }, control)
    }
}

impl HeirControl {
    /// The leader is gone, and the heir wins.
    pub fn win(&self, address: &str) {
        self.keeper.set(LeaderView { own: Some(0), ..view_of(address, 2) });
        self.wins.send_replace(true);
    }

    /// Lets the heir finish its load.
    pub fn load(&self) {
        self.loads.send_replace(true);
    }
}

impl Candidate for Heir {
    type Store = HeirStore;

    async fn campaign(&mut self) -> Result<Leader<HeirStore>, CampaignError> {
        let _ = self.wins.wait_for(|wins| *wins).await.map(|wins| *wins);
        let loads = self.loads.clone();
        Ok(self.inner.campaign().await?.map_store(|inner| HeirStore { inner, loads }))
    }

    fn election(&self) -> LeaderWatch {
        self.election.clone()
    }

    fn archive(&self) -> Archive {
        self.inner.archive()
    }

    async fn resign(&mut self, _leader: Leader<HeirStore>) {}
}

pub struct HeirStore {
    inner: MemoryStore,
    loads: watch::Receiver<bool>,
}

impl Store for HeirStore {
    async fn load(&mut self) -> Result<Snapshot, LoadError> {
        let _ = self.loads.wait_for(|loads| *loads).await.map(|loads| *loads);
        self.inner.load().await
    }

    async fn commit(&mut self, transaction: Transaction) -> Result<(), CommitError> {
        self.inner.commit(transaction).await
    }

    async fn newest(&mut self) -> Result<Commit, LoadError> {
        self.inner.newest().await
    }
}
