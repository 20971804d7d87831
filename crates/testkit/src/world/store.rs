//! A store like etcd: one revision, election keys that live as long as their leases, and numbered
//! transactions that are guarded by the leader's key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_core::Group;
use muster_core::invariants::{DurableState, InvariantViolation};
use muster_types::{Commit, Event, Snapshot, Time, Write};

use super::clock::Clock;
use super::plan::STORE_LEASE;

/// A transaction. It applies at most once, under one key, in sequence.
#[derive(Debug)]
pub(super) struct Transaction {
    /// A number for the recorder alone.
    pub(super) id: u64,
    /// Creation revision of the leader's key.
    pub(super) guard: u64,
    pub(super) commit: Commit,
    pub(super) groups: Vec<(Vec<Write>, Vec<Event>)>,
    /// The events of the whole transaction, and what is deleted with it.
    pub(super) rest: Vec<Write>,
}

/// What a master asks the store.
#[derive(Debug, Clone)]
pub(super) enum Call {
    Grant,
    Campaign {
        lease: u64,
    },
    KeepAlive {
        lease: u64,
    },
    /// What was written after a commit, or everything if there is none. A master asks it that has
    /// won with `key`.
    Read {
        key: u64,
        after: Commit,
    },
    Commit(Arc<Transaction>),
    Delete {
        key: u64,
    },
}

/// The store's answer.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Granted {
        lease: u64,
    },
    /// The key was made, or the lease is gone.
    Candidate {
        key: Option<u64>,
    },
    /// Whether the lease stands, and the keys of all candidates (creation revision, master) as they
    /// are at this moment.
    Alive {
        stands: bool,
        keys: Vec<(u64, usize)>,
    },
    Read {
        key: u64,
        after: Commit,
        newest: Commit,
        writes: Arc<[Write]>,
    },
    Committed {
        id: u64,
        result: Committed,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Committed {
    Applied,
    /// The key is gone.
    Fenced,
    /// The number is not the next one; this is the newest.
    Numbered(Commit),
}

#[derive(Debug, Clone, Copy)]
struct Key {
    master: usize,
    lease: u64,
}

/// The store.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) clock: Clock,
    revision: u64,
    keys: BTreeMap<u64, Key>,
    leases: BTreeMap<u64, Time>,
    next_lease: u64,
    pub(super) ledger: DurableState,
    pub(super) commit: Commit,
    /// What each transaction wrote.
    log: Vec<Vec<Write>>,
    /// Transactions that were applied.
    pub(super) applied: BTreeSet<u64>,
    pub(super) guarded: bool,
}

/// The result of a transaction, and the rules that it broke.
pub(super) struct Applied {
    pub(super) result: Committed,
    pub(super) broken: Vec<InvariantViolation>,
}

impl Store {
    pub(super) fn new(clock: Clock, guarded: bool) -> Store {
        Store {
            clock,
            revision: 1,
            keys: BTreeMap::new(),
            leases: BTreeMap::new(),
            next_lease: 0,
            ledger: DurableState::new(),
            commit: Commit(0),
            log: Vec::new(),
            applied: BTreeSet::new(),
            guarded,
        }
    }

    /// Removes the leases that have ended, and their keys.
    pub(super) fn expire(&mut self, now: Time) {
        let leases = &mut self.leases;
        leases.retain(|_, end| *end > now);
        let before = self.keys.len();
        self.keys.retain(|_, key| leases.contains_key(&key.lease));
        if self.keys.len() != before {
            self.revision += 1;
        }
    }

    pub(super) fn grant(&mut self, now: Time) -> u64 {
        self.next_lease += 1;
        self.leases.insert(self.next_lease, now + STORE_LEASE);
        self.next_lease
    }

    pub(super) fn campaign(&mut self, master: usize, lease: u64) -> Option<u64> {
        self.leases.get(&lease)?;
        if let Some((key, _)) = self.keys.iter().find(|(_, key)| key.lease == lease) {
            return Some(*key);
        }
        self.revision += 1;
        self.keys.insert(self.revision, Key { master, lease });
        Some(self.revision)
    }

    pub(super) fn keep_alive(&mut self, lease: u64, now: Time) -> bool {
        let Some(end) = self.leases.get_mut(&lease) else { return false };
        *end = now + STORE_LEASE;
        true
    }

    pub(super) fn delete(&mut self, key: u64) -> bool {
        let deleted = self.keys.remove(&key).is_some();
        if deleted {
            self.revision += 1;
        }
        deleted
    }

    pub(super) fn candidates(&self) -> Vec<(u64, usize)> {
        self.keys.iter().map(|(revision, key)| (*revision, key.master)).collect()
    }

    /// The leader, by the keys in the store.
    pub(super) fn leader(&self) -> Option<(u64, usize)> {
        self.keys.first_key_value().map(|(revision, key)| (*revision, key.master))
    }

    /// What was written after one commit and up to another; after none, everything that is there.
    pub(super) fn read(&self, after: Commit, newest: Commit) -> Arc<[Write]> {
        if after.0 == 0 {
            return Snapshot { commit: self.commit, ..self.ledger.fold.snapshot() }.into_writes().collect();
        }
        let place = |commit: Commit| usize::try_from(commit.0).unwrap_or(usize::MAX);
        self.log.iter().take(place(newest)).skip(place(after)).flatten().cloned().collect()
    }

    pub(super) fn commit(&mut self, transaction: &Transaction) -> Applied {
        let none = |result| Applied { result, broken: Vec::new() };
        if self.guarded && !self.keys.contains_key(&transaction.guard) {
            return none(Committed::Fenced);
        }
        if self.commit.next() != transaction.commit {
            return none(Committed::Numbered(self.commit));
        }
        let mut broken = Vec::new();
        for (writes, events) in &transaction.groups {
            let group = Group { writes: writes.clone(), events: events.clone(), effects: Vec::new() };
            broken.extend(self.ledger.observe(&group));
        }
        for write in &transaction.rest {
            self.ledger.fold.apply(write);
        }
        let writes = transaction.groups.iter().flat_map(|(writes, _)| writes);
        self.log.push(writes.chain(&transaction.rest).cloned().collect());
        self.commit = transaction.commit;
        self.revision += 1;
        self.applied.insert(transaction.id);
        Applied { result: Committed::Applied, broken }
    }
}
