//! The records, for one term.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use etcd_client::{Txn, TxnOp, TxnOpResponse};
use muster_types::{Commit, Snapshot};
use tokio::sync::watch;

use super::connection::{ClientHandle, EtcdConnection};
use super::failure::{EtcdFailure, FailureKind};
use super::keys::{KeyKind, Keys};
use super::lease::LeadershipLease;
use super::page::Pages;
use super::replica::{Replica, SharedReplica};
use super::transaction::{KeptEvents, KeyGuard, TransactionOutcome, build, note, outcome};
use crate::codec::Stored as _;
use crate::codec::proto::HeadRecord;
use crate::error::Cause;
use crate::records::Records;
use crate::schema::CURRENT;
use crate::{CommitError, DropInBackground, LoadError, ReplicaUpdate, Store, Transaction};

/// The records of a cluster in etcd, for one term.
pub struct EtcdStore {
    pub(super) connection: EtcdConnection,
    pub(super) keys: Keys,
    pub(super) leadership: Arc<LeadershipLease>,
    pub(super) guard: KeyGuard,
    /// The replica from the time as a standby, until it is taken.
    pub(super) replica: SharedReplica,
    pub(super) wanted: Arc<watch::Sender<bool>>,
    pub(super) lease: Duration,
    /// A transaction whose outcome is unknown.
    pub(super) doubtful: Option<Transaction>,
    /// The commits whose events are stored; `None` before a load.
    pub(super) kept: Option<KeptEvents>,
    /// Held so that the task ends with this store.
    pub(super) _compaction: CompactionTask,
}

/// A task that ends with its term.
pub(super) struct CompactionTask(pub(super) tokio::task::JoinHandle<()>);

impl Drop for CompactionTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl std::fmt::Debug for EtcdStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EtcdStore").field("guard", &self.guard).finish_non_exhaustive()
    }
}

/// The pause between attempts while no member answers.
const PAUSE: Duration = Duration::from_millis(50);

impl EtcdStore {
    /// How long to wait for an answer before another member is asked: a few waits fit into a lease.
    pub(super) fn answer_within(&self) -> Duration {
        self.lease / 3
    }

    /// The revision and the number of the newest transaction, read while the guard holds.
    async fn head(&mut self) -> Result<(i64, Commit), ReadFailed> {
        let txn = Txn::new().when([self.guard.compare()]);
        let txn = txn.and_then([TxnOp::get(self.keys.bytes(KeyKind::Head), None)]);
        let within = self.answer_within();
        let ask = async |mut client: ClientHandle| client.txn(txn.clone()).await;
        let answer = self.connection.persist(within, self.lease, ask).await?;
        if !answer.succeeded() {
            self.leadership.keeper.end();
            return Err(ReadFailed::Superseded);
        }
        let revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
        let read = answer.op_responses();
        let damaged = |source| ReadFailed::damaged("m/head", source);
        let Some(TxnOpResponse::Get(read)) = read.first() else { return Err(damaged("no head".into())) };
        let Some(head) = read.kvs().first() else { return Err(damaged("the head is missing".into())) };
        let head = HeadRecord::decode(head.value()).map_err(|error| damaged(error.into()))?;
        Ok((revision, Commit(head.commit)))
    }

    async fn read(&mut self, revision: i64) -> Result<Records, EtcdFailure> {
        let mut records = Records::default();
        let mut pages = Pages::at(self.keys.everything(), revision);
        while let Some(page) = pages.next(&mut self.connection).await? {
            for record in page {
                match self.keys.place(record.key()) {
                    Some(KeyKind::Record(key)) => records.put(key, record.value()),
                    None => records.put_unknown(String::from_utf8_lossy(record.key()).into_owned()),
                    Some(_) => {}
                }
            }
            tokio::task::yield_now().await;
        }
        Ok(records)
    }

    /// All records in this term: the replica from the time as a standby if it is new enough, else a
    /// new read.
    async fn newest_copy(&mut self) -> Result<Replica, LoadError> {
        let migrated = self.migrate(CURRENT).await?;
        // The guard is checked in any case, because even a good replica serves only a term that
        // stands.
        let (revision, commit) = self.head().await?;
        // A replica from before the migration was made of values that this program did not
        // understand.
        let replica = match self.take_copy().filter(|_| !migrated) {
            // Only this master writes in this term, so a replica with the newest number that has
            // seen the start of the term is the newest.
            Some(replica) if replica.commit == commit && replica.revision >= self.guard.created => replica,
            _ => Replica::new(revision, commit, self.read(revision).await.map_err(ReadFailed::Call)?),
        };
        self.kept = Some(replica.records.events().collect());
        Ok(replica)
    }

    fn take_copy(&self) -> Option<Replica> {
        let replica = self.replica.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A leader knows what it writes, so it needs no replica.
        self.wanted.send_if_modified(|wanted| std::mem::replace(wanted, false));
        replica
    }

    /// Makes one attempt after the other, for as long as a lease lasts without an answer. Repeats
    /// are harmless, because the number lets the transaction apply once. `is_doubtful` says whether
    /// it may be applied already.
    async fn offer(&mut self, txn: Txn, commit: Commit, mut is_doubtful: bool) -> Result<(), CommitError> {
        let begun = Instant::now();
        loop {
            let within = self.answer_within();
            let attempt =
                self.connection.once(within, async |mut client: ClientHandle| client.txn(txn.clone()).await).await;
            let failure = match attempt {
                Ok(answer) => return judged(outcome(&answer, &self.guard), commit, is_doubtful),
                Err(failure) => failure,
            };
            match failure.kind {
                FailureKind::Unanswered if begun.elapsed() + PAUSE < self.lease => {
                    tracing::debug!(commit = commit.0, error = %failure, "a transaction was not answered; offering it again");
                    is_doubtful = true;
                    tokio::time::sleep(PAUSE).await;
                }
                // etcd applies the transaction that fills it up, but gives the same answer as to
                // one that finds it full.
                FailureKind::NoSpace => return self.when_full(commit, is_doubtful, failure.source).await,
                // Another attempt would not help, and the outcome is unknown, so the term is given
                // up.
                FailureKind::Denied | FailureKind::Refused if is_doubtful => return Err(CommitError::Overtaken),
                FailureKind::Denied | FailureKind::Refused => {
                    return Err(CommitError::Refused { source: failure.source });
                }
                FailureKind::Unanswered | FailureKind::LeaseGone | FailureKind::Compacted => {
                    return Err(CommitError::Unanswered { source: failure.source });
                }
            }
        }
    }

    async fn when_full(&mut self, commit: Commit, is_doubtful: bool, source: Cause) -> Result<(), CommitError> {
        match self.head().await {
            Ok((_, newest)) if newest == commit => Ok(()),
            // An unanswered attempt may still be on its way.
            Ok(_) if is_doubtful => Err(CommitError::Unanswered { source }),
            Ok(_) => Err(CommitError::NoSpace { source }),
            Err(ReadFailed::Superseded) => Err(CommitError::Overtaken),
            Err(ReadFailed::Damaged { .. } | ReadFailed::Newer { .. } | ReadFailed::Call(_)) => {
                Err(CommitError::Unanswered { source })
            }
        }
    }
}

/// Judges a transaction by the answer to its last attempt; earlier attempts may have been applied.
fn judged(outcome: TransactionOutcome, offered: Commit, is_doubtful: bool) -> Result<(), CommitError> {
    match outcome {
        TransactionOutcome::Applied => Ok(()),
        // Only this term writes under this guard, so an earlier attempt was applied.
        TransactionOutcome::Number(newest) if is_doubtful && newest == offered => Ok(()),
        TransactionOutcome::Number(newest) => Err(CommitError::Number { newest, offered }),
        // The newest transaction may be ours, or one of the next term.
        TransactionOutcome::Superseded(newest) if is_doubtful && newest >= offered => Err(CommitError::Overtaken),
        TransactionOutcome::Superseded(_) => Err(CommitError::Superseded),
    }
}

impl Store for EtcdStore {
    async fn load(&mut self) -> Result<Snapshot, LoadError> {
        Ok(self.newest_copy().await?.snapshot())
    }

    async fn catch_up(&mut self) -> Result<ReplicaUpdate, LoadError> {
        let mut replica = DropInBackground::new(self.newest_copy().await?);
        let update = replica.update();
        Ok(update)
    }

    async fn commit(&mut self, transaction: Transaction) -> Result<(), CommitError> {
        let is_doubtful = self.doubtful.as_ref() == Some(&transaction);
        let txn = build(&self.keys, &self.guard, &transaction, self.kept.as_ref());
        let answer = self.offer(txn, transaction.commit, is_doubtful).await;
        self.doubtful = None;
        match &answer {
            Ok(()) => {
                if let Some(kept) = &mut self.kept {
                    note(kept, &transaction.writes);
                }
            }
            Err(CommitError::Unanswered { .. }) => self.doubtful = Some(transaction),
            Err(CommitError::Superseded | CommitError::Overtaken) => self.leadership.keeper.end(),
            // `offer` has made sure that no attempt is on its way.
            Err(_) => {}
        }
        answer
    }

    async fn newest(&mut self) -> Result<Commit, LoadError> {
        let (_, commit) = self.head().await?;
        Ok(commit)
    }
}

/// Why a read failed.
pub(crate) enum ReadFailed {
    Superseded,
    /// The stored data is damaged.
    Damaged {
        /// The key that cannot be read, without the prefix.
        key: String,
        source: Cause,
    },
    /// A newer program has migrated the records to a schema that this one does not know.
    Newer {
        found: u32,
        known: u32,
    },
    Call(EtcdFailure),
}

impl ReadFailed {
    pub(super) fn damaged(key: impl Into<String>, source: Cause) -> ReadFailed {
        ReadFailed::Damaged { key: key.into(), source }
    }
}

impl From<EtcdFailure> for ReadFailed {
    fn from(failure: EtcdFailure) -> ReadFailed {
        ReadFailed::Call(failure)
    }
}

impl From<ReadFailed> for LoadError {
    fn from(failed: ReadFailed) -> LoadError {
        match failed {
            ReadFailed::Superseded => LoadError::Superseded,
            ReadFailed::Damaged { key, source } => LoadError::Damaged { path: PathBuf::from(key), source },
            ReadFailed::Newer { found, known } => LoadError::NewerSchema { found, known },
            ReadFailed::Call(failure) => LoadError::Unreachable { source: failure.source },
        }
    }
}
