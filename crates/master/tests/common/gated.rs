//! A store that the test can hold up.

use std::sync::Arc;

use muster_store::{
    CampaignError, Candidate, CommitError, Leader, LoadError, MemoryCandidate, MemoryStore, Store, Transaction,
};
use tokio::sync::watch;

/// A store that commits only while its gate is open.
pub struct Gated {
    inner: MemoryCandidate,
    opened: watch::Receiver<bool>,
    held: Arc<watch::Sender<bool>>,
}

/// Lets the test open and close the gate.
pub struct Gate {
    open: watch::Sender<bool>,
    held: watch::Receiver<bool>,
}

impl Gated {
    /// A store whose gate is open.
    pub fn new() -> (Gated, Gate) {
        let (open, opened) = watch::channel(true);
        let (holds, held) = watch::channel(false);
        (Gated { inner: super::memory(), opened, held: Arc::new(holds) }, Gate { open, held })
    }
}

impl Gate {
    pub fn close(&self) {
        self.open.send_replace(false);
    }

    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Waits until a commit is held up.
    pub async fn holds(&mut self) {
        super::soon("a commit is held up", self.held.wait_for(|held| *held)).await.unwrap();
    }
}

pub struct GatedStore {
    inner: MemoryStore,
    opened: watch::Receiver<bool>,
    held: Arc<watch::Sender<bool>>,
}

impl Candidate for Gated {
    type Store = GatedStore;

    async fn campaign(&mut self) -> Result<Leader<GatedStore>, CampaignError> {
        let (opened, held) = (self.opened.clone(), self.held.clone());
        Ok(self.inner.campaign().await?.map_store(|inner| GatedStore { inner, opened, held }))
    }

    fn election(&self) -> muster_store::LeaderWatch {
        self.inner.election()
    }

    fn archive(&self) -> muster_store::Archive {
        self.inner.archive()
    }

    async fn resign(&mut self, _leader: Leader<GatedStore>) {}
}

impl Store for GatedStore {
    async fn load(&mut self) -> Result<muster_types::Snapshot, LoadError> {
        self.inner.load().await
    }

    async fn commit(&mut self, transaction: Transaction) -> Result<(), CommitError> {
        self.held.send_replace(!*self.opened.borrow());
        let _ = self.opened.wait_for(|open| *open).await.map(|open| *open);
        self.inner.commit(transaction).await
    }

    async fn newest(&mut self) -> Result<muster_types::Commit, LoadError> {
        self.inner.newest().await
    }
}
