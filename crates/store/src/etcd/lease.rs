//! An election key of this master, its lease, and the deadline until which both surely exist.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use muster_types::LeaderUid;

use crate::{Deadline, DeadlineKeeper};

/// It serves at most one term; a new key is made for the next.
#[derive(Debug)]
pub(super) struct LeadershipLease {
    pub(super) lease: i64,
    pub(super) key: Vec<u8>,
    pub(super) leader: LeaderUid,
    /// Creation revision of the key; 0 before it is known.
    created: AtomicI64,
    pub(super) keeper: DeadlineKeeper,
    pub(super) deadline: Deadline,
}

impl LeadershipLease {
    pub(super) fn new(lease: i64, key: Vec<u8>, leader: LeaderUid, until: muster_types::Time) -> LeadershipLease {
        let (keeper, deadline) = Deadline::moving(until);
        LeadershipLease { lease, key, leader, created: AtomicI64::new(0), keeper, deadline }
    }

    /// Creation revision of the key, once it is known.
    pub(super) fn created(&self) -> Option<i64> {
        Some(self.created.load(Ordering::SeqCst)).filter(|created| *created != 0)
    }

    /// Records the revision at which the key was made.
    pub(super) fn set_created(&self, revision: i64) {
        self.created.store(revision, Ordering::SeqCst);
    }

    /// Whether the lease or the key was lost, or given up.
    pub(super) fn is_over(&self) -> bool {
        self.deadline.get() == muster_types::Time(0)
    }
}

/// The present lease and election key of this process, if it has them.
#[derive(Debug, Clone, Default)]
pub(super) struct OwnLease(Arc<Mutex<Option<Arc<LeadershipLease>>>>);

impl OwnLease {
    pub(super) fn get(&self) -> Option<Arc<LeadershipLease>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set(&self, leadership: Option<Arc<LeadershipLease>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = leadership;
    }
}
