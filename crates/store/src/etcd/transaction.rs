//! Transactions in the form that etcd accepts: guarded by the election key and by the number
//! before, with at most 128 operations.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use etcd_client::{Compare, CompareOp, DeleteOptions, Txn, TxnOp, TxnOpResponse, TxnResponse};
use muster_types::{Commit, Write};

use super::keys::{KeyKind, Keys};
use crate::Transaction;
use crate::codec::Stored as _;
use crate::codec::proto::HeadRecord;
use crate::key::Key;
use crate::records::encoded;

/// The election key that guards a term, and its creation revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyGuard {
    pub(super) key: Vec<u8>,
    pub(super) created: i64,
}

impl KeyGuard {
    pub(super) fn compare(&self) -> Compare {
        Compare::create_revision(self.key.clone(), CompareOp::Equal, self.created)
    }
}

/// The outcome of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TransactionOutcome {
    Applied,
    /// The guard did not hold; this is the number of the newest transaction.
    Superseded(Commit),
    /// The guard held, but the number was not the next; this is the number of the newest
    /// transaction.
    Number(Commit),
}

fn head(commit: Commit) -> Vec<u8> {
    HeadRecord { commit: commit.0, ..HeadRecord::default() }.encode()
}

/// The commits whose events are stored. A deleted range may also span commits that have no events.
pub(super) type KeptEvents = BTreeSet<Commit>;

/// Builds the transaction. If its guard or its number does not hold, it reads both instead.
pub(super) fn build(keys: &Keys, guard: &KeyGuard, transaction: &Transaction, kept: Option<&KeptEvents>) -> Txn {
    // etcd accepts each key once per transaction; a later write of a key replaces an earlier one.
    let newest: BTreeMap<Key, &Write> = transaction.writes.iter().map(|write| (Key::of(write), write)).collect();
    let mut operations = Vec::with_capacity(newest.len() + 1);
    let mut events = Vec::new();
    for (key, write) in newest {
        match (encoded(write), key) {
            (Some(value), _) => operations.push(TxnOp::put(keys.record(key), value, None)),
            (None, Key::Events(commit)) => events.push(commit),
            (None, _) => operations.push(TxnOp::delete(keys.record(key), None)),
        }
    }
    for (first, last) in runs(&events, |between| stays(between, kept, &transaction.writes)) {
        let (start, end) = keys.events(first, last);
        operations.push(TxnOp::delete(start, Some(DeleteOptions::new().with_range(end))));
    }
    operations.push(TxnOp::put(keys.bytes(KeyKind::Head), head(transaction.commit), None));
    // No head has the number before zero, so this comparison must fail.
    let before = transaction.commit.0.checked_sub(1).map_or_else(|| b"none".to_vec(), |before| head(Commit(before)));
    let number = Compare::value(keys.bytes(KeyKind::Head), CompareOp::Equal, before);
    Txn::new()
        .when([guard.compare(), number])
        .and_then(operations)
        .or_else([TxnOp::get(guard.key.clone(), None), TxnOp::get(keys.bytes(KeyKind::Head), None)])
}

/// Whether events of these commits stay. While the stored ones are unknown, any may stay.
fn stays(between: Range<Commit>, kept: Option<&KeptEvents>, writes: &[Write]) -> bool {
    let written = |write: &Write| matches!(write, Write::PutEvents(record) if between.contains(&record.commit));
    !between.is_empty()
        && (kept.is_none_or(|kept| kept.range(between.clone()).next().is_some()) || writes.iter().any(written))
}

/// Joins commits to ranges, both ends included. Two commits share a range if nothing stays between
/// them.
fn runs(commits: &[Commit], stays: impl Fn(Range<Commit>) -> bool) -> Vec<(Commit, Commit)> {
    let mut runs: Vec<(Commit, Commit)> = Vec::new();
    for &commit in commits {
        match runs.last_mut() {
            Some((_, last)) if !stays(last.next()..commit) => *last = commit,
            _ => runs.push((commit, commit)),
        }
    }
    runs
}

/// Reads the answer to a transaction that [`build`] made.
pub(super) fn outcome(answer: &TxnResponse, guard: &KeyGuard) -> TransactionOutcome {
    if answer.succeeded() {
        return TransactionOutcome::Applied;
    }
    let (mut created, mut newest) = (0, Commit(0));
    for (number, read) in answer.op_responses().iter().enumerate() {
        let TxnOpResponse::Get(read) = read else { continue };
        let Some(found) = read.kvs().first() else { continue };
        match number {
            0 => created = found.create_revision(),
            _ => newest = HeadRecord::decode(found.value()).map_or(Commit(0), |head| Commit(head.commit)),
        }
    }
    if created == guard.created { TransactionOutcome::Number(newest) } else { TransactionOutcome::Superseded(newest) }
}

/// Updates the set of stored events after a transaction was applied.
pub(super) fn note(kept: &mut KeptEvents, writes: &[Write]) {
    for write in writes {
        match write {
            Write::PutEvents(record) => drop(kept.insert(record.commit)),
            Write::DeleteEvents(commit) => drop(kept.remove(commit)),
            Write::PutDriver(_)
            | Write::DeleteDriver(_)
            | Write::PutApplication(_)
            | Write::DeleteApplication(_)
            | Write::PutExecutors(_)
            | Write::DeleteExecutors(..)
            | Write::PutWorker(_)
            | Write::DeleteWorker(_)
            | Write::PutToken(_)
            | Write::DeleteToken(_)
            | Write::PutRoles(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commits(numbers: &[u64]) -> Vec<Commit> {
        numbers.iter().copied().map(Commit).collect()
    }

    fn of(deleted: &[u64], kept: Option<&[u64]>, writes: &[Write]) -> Vec<(u64, u64)> {
        let kept: Option<KeptEvents> = kept.map(|kept| commits(kept).into_iter().collect());
        let runs = runs(&commits(deleted), |between| stays(between, kept.as_ref(), writes));
        runs.into_iter().map(|(first, last)| (first.0, last.0)).collect()
    }

    #[test]
    fn events_are_deleted_by_ranges_that_take_nothing_else() {
        assert_eq!(of(&[1, 2, 3, 7], None, &[]), [(1, 3), (7, 7)], "what lies between is unknown");
        assert_eq!(of(&[1, 2, 3, 7], Some(&[1, 2, 3, 7, 8]), &[]), [(1, 7)], "nothing lies between");
        assert_eq!(of(&[1, 2, 3, 7], Some(&[1, 2, 3, 5, 7]), &[]), [(1, 3), (7, 7)], "5 stays");
        let five = crate::sample::Sample::new(1).events(Commit(5));
        assert_eq!(of(&[1, 7], Some(&[1, 7]), &[Write::PutEvents(five)]), [(1, 1), (7, 7)], "5 is written");
        assert_eq!(of(&[], Some(&[]), &[]), []);
    }
}
