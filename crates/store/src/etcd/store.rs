//! The records, for one term.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use etcd_client::{Txn, TxnOp, TxnOpResponse};
use muster_types::{Commit, Snapshot};
use tokio::sync::watch;

use super::copy::{Copy, Shelf};
use super::failure::{Failure, Kind};
use super::keys::{Keys, Place};
use super::line::{Handle, Line};
use super::page::Pages;
use super::seat::Seat;
use super::transaction::{Guard, KeptEvents, Outcome, build, note, outcome};
use crate::codec::Stored as _;
use crate::codec::proto::HeadRecord;
use crate::error::Cause;
use crate::records::Records;
use crate::schema::CURRENT;
use crate::{CommitError, Large, LoadError, News, Store, Transaction};

/// The records of a cluster in etcd, for one term.
pub struct EtcdStore {
    pub(super) line: Line,
    pub(super) keys: Keys,
    pub(super) seat: Arc<Seat>,
    pub(super) guard: Guard,
    /// The copy that was kept while waiting, until it is taken.
    pub(super) shelf: Shelf,
    pub(super) wanted: Arc<watch::Sender<bool>>,
    pub(super) lease: Duration,
    /// A transaction that may be applied, which nobody knows.
    pub(super) doubtful: Option<Transaction>,
    /// What is known of the events that are kept; nothing before a load.
    pub(super) kept: Option<KeptEvents>,
    /// Its only purpose is to end with this.
    pub(super) _upkeep: Upkeeping,
}

/// A task that ends with its term.
pub(super) struct Upkeeping(pub(super) tokio::task::JoinHandle<()>);

impl Drop for Upkeeping {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl std::fmt::Debug for EtcdStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EtcdStore").field("guard", &self.guard).finish_non_exhaustive()
    }
}

/// Between attempts at members of which none answers.
const PAUSE: Duration = Duration::from_millis(50);

impl EtcdStore {
    /// For one answer, before another member is asked: a few fit into a term without news.
    pub(super) fn answer_within(&self) -> Duration {
        self.lease / 3
    }

    /// The revision and the number of the newest transaction, read while the guard holds.
    async fn head(&mut self) -> Result<(i64, Commit), Failed> {
        let txn = Txn::new().when([self.guard.compare()]);
        let txn = txn.and_then([TxnOp::get(self.keys.bytes(Place::Head), None)]);
        let within = self.answer_within();
        let ask = async |mut client: Handle| client.txn(txn.clone()).await;
        let answer = self.line.persist(within, self.lease, ask).await?;
        if !answer.succeeded() {
            self.seat.keeper.end();
            return Err(Failed::Superseded);
        }
        let revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
        let read = answer.op_responses();
        let Some(TxnOpResponse::Get(read)) = read.first() else { return Err(Failed::Damaged("no head".into())) };
        let Some(head) = read.kvs().first() else { return Err(Failed::Damaged("the head is missing".into())) };
        let head = HeadRecord::decode(head.value()).map_err(|error| Failed::Damaged(error.into()))?;
        Ok((revision, Commit(head.commit)))
    }

    async fn read(&mut self, revision: i64) -> Result<Records, Failure> {
        let mut records = Records::default();
        let mut pages = Pages::at(self.keys.everything(), revision);
        while let Some(page) = pages.next(&mut self.line).await? {
            for record in page {
                match self.keys.place(record.key()) {
                    Some(Place::Record(key)) => records.put(key, record.value()),
                    None => records.put_unknown(String::from_utf8_lossy(record.key()).into_owned()),
                    Some(_) => {}
                }
            }
            tokio::task::yield_now().await;
        }
        Ok(records)
    }

    /// Everything as it is in this term: the copy that was kept while waiting, if it is that new.
    async fn newest_copy(&mut self) -> Result<Copy, LoadError> {
        let migrated = self.migrate(CURRENT).await?;
        // Whatever the copy is, it serves only a term that stands.
        let (revision, commit) = self.head().await?;
        // One that was made of an older form was not understood.
        let copy = match self.take_copy().filter(|_| !migrated) {
            // Nobody else writes in this term: what has its number, and has seen its beginning, is the newest.
            Some(copy) if copy.commit == commit && copy.revision >= self.guard.created => copy,
            _ => Copy::new(revision, commit, self.read(revision).await.map_err(Failed::Call)?),
        };
        self.kept = Some(copy.records.events().collect());
        Ok(copy)
    }

    fn take_copy(&self) -> Option<Copy> {
        let copy = self.shelf.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A leader writes what it knows: it needs no copy.
        self.wanted.send_if_modified(|wanted| std::mem::replace(wanted, false));
        copy
    }

    /// One attempt after the other, while a term without news can stand. Repeats are harmless: the number lets it apply once.
    /// `is_doubtful`: whether it may be applied already.
    async fn offer(&mut self, txn: Txn, commit: Commit, mut is_doubtful: bool) -> Result<(), CommitError> {
        let begun = Instant::now();
        loop {
            let within = self.answer_within();
            let attempt = self.line.once(within, async |mut client: Handle| client.txn(txn.clone()).await).await;
            let failure = match attempt {
                Ok(answer) => return judged(outcome(&answer, &self.guard), commit, is_doubtful),
                Err(failure) => failure,
            };
            match failure.kind {
                Kind::Unanswered if begun.elapsed() + PAUSE < self.lease => {
                    tracing::debug!(commit = commit.0, error = %failure, "a transaction was not answered; offering it again");
                    is_doubtful = true;
                    tokio::time::sleep(PAUSE).await;
                }
                // Etcd applies the transaction that fills it up, and answers it like one that found it full.
                Kind::NoSpace => return self.when_full(commit, is_doubtful, failure.source).await,
                // Offering it again would not help, and what became of it is not known: the term is given up.
                Kind::Denied | Kind::Refused if is_doubtful => return Err(CommitError::Overtaken),
                Kind::Denied | Kind::Refused => return Err(CommitError::Refused { source: failure.source }),
                Kind::Unanswered | Kind::LeaseGone | Kind::Compacted => {
                    return Err(CommitError::Unanswered { source: failure.source });
                }
            }
        }
    }

    async fn when_full(&mut self, commit: Commit, is_doubtful: bool, source: Cause) -> Result<(), CommitError> {
        match self.head().await {
            Ok((_, newest)) if newest == commit => Ok(()),
            // An attempt that was not answered may be on its way still.
            Ok(_) if is_doubtful => Err(CommitError::Unanswered { source }),
            Ok(_) => Err(CommitError::NoSpace { source }),
            Err(Failed::Superseded) => Err(CommitError::Overtaken),
            Err(Failed::Damaged(_) | Failed::Newer { .. } | Failed::Call(_)) => Err(CommitError::Unanswered { source }),
        }
    }
}

/// What the answer to an attempt says of the transaction, whose earlier attempts may be applied.
fn judged(outcome: Outcome, offered: Commit, is_doubtful: bool) -> Result<(), CommitError> {
    match outcome {
        Outcome::Applied => Ok(()),
        // This term alone writes under this guard: what has the number is what was offered before.
        Outcome::Number(newest) if is_doubtful && newest == offered => Ok(()),
        Outcome::Number(newest) => Err(CommitError::Number { newest, offered }),
        // Ours, or another of the next term.
        Outcome::Superseded(newest) if is_doubtful && newest >= offered => Err(CommitError::Overtaken),
        Outcome::Superseded(_) => Err(CommitError::Superseded),
    }
}

impl Store for EtcdStore {
    async fn load(&mut self) -> Result<Snapshot, LoadError> {
        Ok(self.newest_copy().await?.snapshot())
    }

    async fn catch_up(&mut self) -> Result<News, LoadError> {
        let mut copy = Large::new(self.newest_copy().await?);
        let news = copy.news();
        Ok(news)
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
            Err(CommitError::Superseded | CommitError::Overtaken) => self.seat.keeper.end(),
            // Made certain above: no attempt of it is on its way.
            Err(_) => {}
        }
        answer
    }

    async fn newest(&mut self) -> Result<Commit, LoadError> {
        let (_, commit) = self.head().await?;
        Ok(commit)
    }
}

/// Why something was not read.
pub(crate) enum Failed {
    Superseded,
    /// What is there is not what was written.
    Damaged(Cause),
    /// A newer program has brought the records into a form that this one does not know.
    Newer {
        found: u32,
        known: u32,
    },
    Call(Failure),
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Failed {
        Failed::Call(failure)
    }
}

impl From<Failed> for LoadError {
    fn from(failed: Failed) -> LoadError {
        match failed {
            Failed::Superseded => LoadError::Superseded,
            Failed::Damaged(source) => LoadError::Damaged { path: PathBuf::from("m/head"), source },
            Failed::Newer { found, known } => LoadError::NewerSchema { found, known },
            Failed::Call(failure) => LoadError::Unreachable { source: failure.source },
        }
    }
}
