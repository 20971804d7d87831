//! The records, for one term.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use etcd_client::{Txn, TxnOp, TxnOpResponse};
use muster_types::{Commit, Snapshot};
use tokio::sync::watch;

use super::failure::{Failure, Kind};
use super::follow::{Copy, Shelf};
use super::keys::{Keys, Place};
use super::line::{Handle, Line};
use super::page::Pages;
use super::seat::Seat;
use super::transaction::{Guard, KeptEvents, Outcome, build, note, outcome};
use crate::codec::Stored as _;
use crate::codec::proto::HeadRecord;
use crate::error::Cause;
use crate::records::Records;
use crate::{CommitError, LoadError, Store, Transaction};

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
    fn answer_within(&self) -> Duration {
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

    fn take_copy(&self) -> Option<Copy> {
        let copy = self.shelf.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A leader writes what it knows: it needs no copy.
        self.wanted.send_if_modified(|wanted| std::mem::replace(wanted, false));
        copy
    }

    /// One attempt after the other, while a term without news can stand. Repeats are harmless: the number lets it apply once.
    async fn offer(&mut self, txn: Txn, commit: Commit) -> Result<Outcome, Failure> {
        let begun = Instant::now();
        let mut may_be_applied = false;
        loop {
            let within = self.answer_within();
            let attempt = self.line.once(within, async |mut client: Handle| client.txn(txn.clone()).await).await;
            match attempt {
                // This term alone writes under this guard: if the number is in, it is ours, offered before.
                Ok(answer) => match outcome(&answer, &self.guard) {
                    Outcome::Number(newest) if may_be_applied && newest == commit => return Ok(Outcome::Applied),
                    outcome => return Ok(outcome),
                },
                Err(failure) if failure.kind == Kind::Unanswered && begun.elapsed() + PAUSE < self.lease => {
                    tracing::debug!(commit = commit.0, error = %failure, "a transaction was not answered; offering it again");
                    may_be_applied = true;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(failure) if may_be_applied => return Err(Failure::unanswered(failure.source)),
                Err(failure) => return Err(failure),
            }
        }
    }
}

impl Store for EtcdStore {
    async fn load(&mut self) -> Result<Snapshot, LoadError> {
        // Whatever the copy is, it serves only a term that stands.
        let (revision, commit) = self.head().await?;
        let records = match self.take_copy() {
            // Nobody else writes in this term: what has its number, and has seen its beginning, is the newest.
            Some(copy) if copy.commit == commit && copy.revision >= self.guard.created => copy.records,
            _ => self.read(revision).await.map_err(Failed::Call)?,
        };
        let snapshot = records.snapshot(commit);
        self.kept = Some(snapshot.events.iter().map(|record| record.commit).collect());
        Ok(snapshot)
    }

    async fn commit(&mut self, transaction: Transaction) -> Result<(), CommitError> {
        let offered = transaction.commit;
        let txn = build(&self.keys, &self.guard, &transaction, self.kept.as_ref());
        match self.offer(txn, offered).await {
            Ok(Outcome::Applied) => {
                if let Some(kept) = &mut self.kept {
                    note(kept, &transaction.writes);
                }
                Ok(())
            }
            Ok(Outcome::Superseded) => {
                self.seat.keeper.end();
                Err(CommitError::Superseded)
            }
            Ok(Outcome::Number(newest)) => Err(CommitError::Number { newest, offered }),
            Err(Failure { kind, source }) => Err(match kind {
                Kind::NoSpace => CommitError::NoSpace { source },
                Kind::Unanswered | Kind::Compacted => CommitError::Unanswered { source },
                Kind::LeaseGone => CommitError::Superseded,
                Kind::Denied | Kind::Refused => CommitError::Refused { source },
            }),
        }
    }

    async fn newest(&mut self) -> Result<Commit, LoadError> {
        let (_, commit) = self.head().await?;
        Ok(commit)
    }
}

/// Why something was not read.
enum Failed {
    Superseded,
    /// What is there is not what was written.
    Damaged(Cause),
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
            Failed::Call(failure) => LoadError::Unreachable { source: failure.source },
        }
    }
}
