//! Records in the memory of the process: for tests, trials and simulation.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use muster_types::{ClusterRecord, ClusterUid, Commit, Epoch, LeaderUid, Snapshot};

use crate::backup::{BackupSource, Pour};
use crate::random::random_u128;
use crate::records::Records;
use crate::solo_election::SoloElection;
use crate::{
    Archive, CampaignError, Candidacy, Candidate, CommitError, Deadline, Leader, LeaderWatch, LoadError, NewCluster,
    OpenError, Store, Transaction,
};

/// The store is gone with the process, so it never goes back in time.
const GENERATION: u64 = 1;

/// A candidate that always leads. Clones share the records: a test that "restarts" a master keeps a
/// clone.
#[derive(Debug, Clone)]
pub struct MemoryCandidate {
    shared: Arc<Mutex<SharedStore>>,
    solo: Arc<SoloElection>,
}

/// The records, for one term.
#[derive(Debug)]
pub struct MemoryStore {
    shared: Arc<Mutex<SharedStore>>,
    revision: u64,
}

#[derive(Debug)]
struct SharedStore {
    cluster: ClusterRecord,
    revision: u64,
    commit: Commit,
    records: Records,
}

impl MemoryCandidate {
    /// Makes a new, empty cluster.
    pub fn new(new_cluster: NewCluster) -> Result<MemoryCandidate, OpenError> {
        let uid = ClusterUid(random_u128().map_err(|source| OpenError::Random { source })?);
        let cluster = ClusterRecord { uid, name: new_cluster.name, created: new_cluster.now };
        let shared = SharedStore { cluster, revision: 0, commit: Commit(0), records: Records::default() };
        let solo = SoloElection::new(String::new(), env!("CARGO_PKG_VERSION").to_owned());
        Ok(MemoryCandidate { shared: Arc::new(Mutex::new(shared)), solo: Arc::new(solo) })
    }

    /// The same candidate with the address and the version of a candidacy.
    #[must_use]
    pub fn standing_as(self, candidacy: Candidacy) -> MemoryCandidate {
        MemoryCandidate { solo: Arc::new(SoloElection::new(candidacy.address, candidacy.version)), ..self }
    }
}

impl Candidate for MemoryCandidate {
    type Store = MemoryStore;

    async fn campaign(&mut self) -> Result<Leader<MemoryStore>, CampaignError> {
        let leader = LeaderUid(random_u128().map_err(|source| CampaignError::Random { source })?);
        let mut shared = lock(&self.shared);
        shared.revision += 1;
        let epoch = Epoch { generation: GENERATION, revision: shared.revision, leader };
        self.solo.won(epoch);
        Ok(Leader {
            epoch,
            cluster: shared.cluster.clone(),
            deadline: Deadline::never(),
            store: MemoryStore { shared: self.shared.clone(), revision: shared.revision },
        })
    }

    fn archive(&self) -> Archive {
        Archive::new(MemorySource(self.shared.clone()))
    }

    fn election(&self) -> LeaderWatch {
        self.solo.election()
    }

    async fn resign(&mut self, _leader: Leader<MemoryStore>) {
        self.solo.resigned();
    }
}

struct MemorySource(Arc<Mutex<SharedStore>>);

impl BackupSource for MemorySource {
    fn pour(&self, mut into: Pour) {
        let shared = lock(&self.0);
        let (commit, records) = (shared.commit, shared.records.clone());
        into.begin_current(&shared.cluster, GENERATION, commit);
        drop(shared);
        tokio::spawn(async move {
            for (key, value) in records.encoded() {
                if into.add(key, value) && into.flush().await.is_err() {
                    return;
                }
            }
            into.end().await;
        });
    }
}

impl Store for MemoryStore {
    async fn load(&mut self) -> Result<Snapshot, LoadError> {
        let shared = lock(&self.shared);
        if shared.revision != self.revision {
            return Err(LoadError::Superseded);
        }
        Ok(shared.records.snapshot(shared.commit))
    }

    async fn commit(&mut self, transaction: Transaction) -> Result<(), CommitError> {
        let mut shared = lock(&self.shared);
        if shared.revision != self.revision {
            return Err(CommitError::Superseded);
        }
        let newest = shared.commit;
        if transaction.commit != newest.next() {
            return Err(CommitError::Number { newest, offered: transaction.commit });
        }
        shared.commit = transaction.commit;
        for write in transaction.writes {
            shared.records.apply(write);
        }
        Ok(())
    }

    async fn newest(&mut self) -> Result<Commit, LoadError> {
        let shared = lock(&self.shared);
        if shared.revision != self.revision {
            return Err(LoadError::Superseded);
        }
        Ok(shared.commit)
    }
}

/// No call panics while it holds the lock, so the content of a poisoned lock is sound.
fn lock(shared: &Mutex<SharedStore>) -> MutexGuard<'_, SharedStore> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
