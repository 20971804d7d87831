//! Records in one directory of one machine.
//!
//! ```text
//! DIRECTORY/lock      the holder's pid; locked while it lives
//! DIRECTORY/mark      what was acknowledged
//! DIRECTORY/records/  the database
//! ```
//!
//! The one process that holds the lock always leads. Everything is read and verified at the start:
//! the database checks its own data, the checksums show that no record is missing or old, and the
//! mark shows that the end was not cut off.

mod archive;
mod contents;
mod current;
mod database;

mod acknowledged;
mod checksums;
mod keeper;
mod migrate;
mod reopen;
mod restore;
mod space;
#[cfg(test)]
pub(crate) mod testing;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use muster_types::{Commit, Epoch, LeaderUid, Snapshot};
use tokio::sync::{mpsc, oneshot};

use archive::EmbeddedSource;
use keeper::{StoreRequest, StoreThread};
pub(crate) use restore::{recover, restore};

use crate::random::random_u128;
use crate::solo_election::SoloElection;
use crate::{
    Archive, CampaignError, Candidacy, Candidate, CommitError, Deadline, Leader, LeaderWatch, LoadError, NewCluster,
    OpenError, Store, Transaction,
};

/// The most requests that may wait. A store has one at a time; the others are those of callers that
/// have given up.
const WAITING_REQUESTS: usize = 16;

/// A candidate that always leads. Dropping it closes the store: handles of its terms then return
/// `Closed`.
#[derive(Debug)]
pub struct EmbeddedCandidate {
    /// The only lasting sender, so that dropping it ends the keeper.
    requests: Option<Arc<mpsc::Sender<StoreRequest>>>,
    keeper: Option<JoinHandle<()>>,
    solo: SoloElection,
}

/// The records, for one term.
#[derive(Debug)]
pub struct EmbeddedStore {
    requests: Weak<mpsc::Sender<StoreRequest>>,
    revision: u64,
}

impl EmbeddedCandidate {
    /// Takes the directory, makes the store if there is none, and reads and verifies everything.
    pub async fn open(
        directory: &Path,
        new_cluster: NewCluster,
        candidacy: Candidacy,
    ) -> Result<EmbeddedCandidate, OpenError> {
        let path: PathBuf = directory.to_owned();
        let (sender, receiver) = mpsc::channel(WAITING_REQUESTS);
        let (opened, outcome) = oneshot::channel();
        let run = move || match StoreThread::open(&path, Some(new_cluster)) {
            Ok(keeper) => {
                // An error means that the caller gave up. Then there are no senders, and the thread
                // ends at once.
                let _ = opened.send(Ok(()));
                keeper.run(receiver);
            }
            Err(error) => drop(opened.send(Err(error))),
        };
        let fail = |source| OpenError::Directory { path: directory.to_owned(), source };
        let keeper = std::thread::Builder::new().name("store".to_owned()).spawn(run).map_err(fail)?;
        match outcome.await {
            Ok(Ok(())) => {
                let solo = SoloElection::new(candidacy.address, candidacy.version);
                Ok(EmbeddedCandidate { requests: Some(Arc::new(sender)), keeper: Some(keeper), solo })
            }
            Ok(Err(error)) => Err(error),
            // fjall asserts the content of some of its files.
            Err(_) => {
                let path = directory.to_owned();
                Err(OpenError::Damaged { path, source: "the database panicked while reading it".into() })
            }
        }
    }
}

/// Waits until everything is closed and the lock is released, which takes milliseconds.
impl Drop for EmbeddedCandidate {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(keeper) = self.keeper.take() {
            // An error means that it panicked; its callers were told that the store is closed.
            let _ = keeper.join();
        }
    }
}

impl Candidate for EmbeddedCandidate {
    type Store = EmbeddedStore;

    async fn campaign(&mut self) -> Result<Leader<EmbeddedStore>, CampaignError> {
        let leader = LeaderUid(random_u128().map_err(|source| CampaignError::Random { source })?);
        let requests = self.requests.as_ref().ok_or(CampaignError::Closed)?;
        let (reply, answer) = oneshot::channel();
        requests.try_send(StoreRequest::Campaign(reply)).map_err(|_| CampaignError::Closed)?;
        let (epoch, cluster) = answer.await.map_err(|_| CampaignError::Closed)??;
        let store = EmbeddedStore { requests: Arc::downgrade(requests), revision: epoch.revision };
        let epoch = Epoch { generation: epoch.generation, revision: epoch.revision, leader };
        self.solo.won(epoch);
        Ok(Leader { epoch, cluster, deadline: Deadline::never(), store })
    }

    fn archive(&self) -> Archive {
        Archive::new(EmbeddedSource(self.requests.as_ref().map(Arc::downgrade).unwrap_or_default()))
    }

    fn election(&self) -> LeaderWatch {
        self.solo.election()
    }

    async fn resign(&mut self, _leader: Leader<EmbeddedStore>) {
        self.solo.resigned();
    }
}

impl EmbeddedStore {
    /// Sends a request to the keeper. `None` when the keeper is gone, or has hung for so long that
    /// abandoned requests fill its queue.
    async fn ask<T>(&self, request: impl FnOnce(u64, oneshot::Sender<T>) -> StoreRequest) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.requests.upgrade()?.try_send(request(self.revision, reply)).ok()?;
        answer.await.ok()
    }
}

impl Store for EmbeddedStore {
    async fn load(&mut self) -> Result<Snapshot, LoadError> {
        self.ask(StoreRequest::Load).await.unwrap_or(Err(LoadError::Closed))
    }

    async fn commit(&mut self, transaction: Transaction) -> Result<(), CommitError> {
        let request = |revision, reply| StoreRequest::Commit(revision, transaction, reply);
        self.ask(request).await.unwrap_or(Err(CommitError::Closed))
    }

    async fn newest(&mut self) -> Result<Commit, LoadError> {
        self.ask(StoreRequest::Newest).await.unwrap_or(Err(LoadError::Closed))
    }
}
