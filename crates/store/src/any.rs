//! A store whose kind is chosen at run time.

use muster_types::{Commit, Snapshot};

use crate::{
    Archive, CampaignError, Candidate, CommitError, EmbeddedCandidate, EmbeddedStore, EtcdCandidate, EtcdStore, Leader,
    LeaderWatch, LoadError, MemoryCandidate, MemoryStore, ReplicaHandle, ReplicaUpdate, Store, Transaction,
};

/// A candidate of any kind.
#[derive(Debug)]
pub enum AnyCandidate {
    /// In memory.
    Memory(MemoryCandidate),
    /// In a directory.
    Embedded(EmbeddedCandidate),
    /// In etcd.
    Etcd(Box<EtcdCandidate>),
}

/// The records of any kind, for one term.
#[derive(Debug)]
pub enum AnyStore {
    /// In memory.
    Memory(MemoryStore),
    /// In a directory.
    Embedded(EmbeddedStore),
    /// In etcd.
    Etcd(Box<EtcdStore>),
}

impl Candidate for AnyCandidate {
    type Store = AnyStore;

    async fn campaign(&mut self) -> Result<Leader<AnyStore>, CampaignError> {
        match self {
            AnyCandidate::Memory(candidate) => Ok(candidate.campaign().await?.map_store(AnyStore::Memory)),
            AnyCandidate::Embedded(candidate) => Ok(candidate.campaign().await?.map_store(AnyStore::Embedded)),
            AnyCandidate::Etcd(candidate) => {
                Ok(candidate.campaign().await?.map_store(|store| AnyStore::Etcd(Box::new(store))))
            }
        }
    }

    fn election(&self) -> LeaderWatch {
        match self {
            AnyCandidate::Memory(candidate) => candidate.election(),
            AnyCandidate::Embedded(candidate) => candidate.election(),
            AnyCandidate::Etcd(candidate) => candidate.election(),
        }
    }

    fn replica(&self) -> ReplicaHandle {
        match self {
            AnyCandidate::Memory(candidate) => candidate.replica(),
            AnyCandidate::Embedded(candidate) => candidate.replica(),
            AnyCandidate::Etcd(candidate) => candidate.replica(),
        }
    }

    fn archive(&self) -> Archive {
        match self {
            AnyCandidate::Memory(candidate) => candidate.archive(),
            AnyCandidate::Embedded(candidate) => candidate.archive(),
            AnyCandidate::Etcd(candidate) => candidate.archive(),
        }
    }

    async fn resign(&mut self, leader: Leader<AnyStore>) {
        let Leader { epoch, cluster, deadline, store } = leader;
        match (self, store) {
            (AnyCandidate::Memory(candidate), AnyStore::Memory(store)) => {
                candidate.resign(Leader { epoch, cluster, deadline, store }).await;
            }
            (AnyCandidate::Embedded(candidate), AnyStore::Embedded(store)) => {
                candidate.resign(Leader { epoch, cluster, deadline, store }).await;
            }
            (AnyCandidate::Etcd(candidate), AnyStore::Etcd(store)) => {
                candidate.resign(Leader { epoch, cluster, deadline, store: *store }).await;
            }
            // The term belongs to a candidate of another kind, so it is not ours to end.
            (AnyCandidate::Memory(_) | AnyCandidate::Embedded(_) | AnyCandidate::Etcd(_), _) => {}
        }
    }
}

impl Store for AnyStore {
    async fn load(&mut self) -> Result<Snapshot, LoadError> {
        match self {
            AnyStore::Memory(store) => store.load().await,
            AnyStore::Embedded(store) => store.load().await,
            AnyStore::Etcd(store) => store.load().await,
        }
    }

    async fn catch_up(&mut self) -> Result<ReplicaUpdate, LoadError> {
        match self {
            AnyStore::Memory(store) => store.catch_up().await,
            AnyStore::Embedded(store) => store.catch_up().await,
            AnyStore::Etcd(store) => store.catch_up().await,
        }
    }

    async fn commit(&mut self, transaction: Transaction) -> Result<(), CommitError> {
        match self {
            AnyStore::Memory(store) => store.commit(transaction).await,
            AnyStore::Embedded(store) => store.commit(transaction).await,
            AnyStore::Etcd(store) => store.commit(transaction).await,
        }
    }

    async fn newest(&mut self) -> Result<Commit, LoadError> {
        match self {
            AnyStore::Memory(store) => store.newest().await,
            AnyStore::Embedded(store) => store.newest().await,
            AnyStore::Etcd(store) => store.newest().await,
        }
    }
}
