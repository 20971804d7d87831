//! A store that was restored to an earlier state: its records are older than the attempts that run.
//!
//! Every restore raises the store's generation. Consider a driver that was accepted in an earlier
//! generation and has no attempt in the present one. It may have gone on in the time that the store
//! does not know: its open attempt may be over, and a later one may run anywhere. Such a driver is
//! *held*: it is not launched, and the absence of its attempt proves nothing, until every worker
//! that could run a copy has reported, or can run nothing any more. An attempt that runs and that
//! no record names is *quarantined*: it is shown and left running, its resources count as used, and
//! only an operator ends it. It holds its driver, because two copies must not overlap.
//!
//! In the first generation nothing is held or quarantined, unless some records could not be read,
//! and this costs nothing.

mod census;
mod explain;
mod hold;
mod quarantine;
mod thaw;
mod unrecorded_end;

use std::collections::BTreeSet;

use muster_types::{AttemptKey, DriverUid, WorkerUid};

use crate::core::Core;
use crate::state::Driver;

/// How many numbers each generation has for attempts and executors: more than any run of a
/// generation uses. A fencing token must be larger than all numbers given in the time that the
/// store does not know, however long that was.
const NUMBERS_PER_GENERATION: u64 = 1 << 20;

/// The smallest number that a generation gives to the attempts of an older record. Saturates beyond
/// 4,095 restores.
pub(crate) fn first_number(generation: u64) -> u32 {
    let least = generation.saturating_sub(1).saturating_mul(NUMBERS_PER_GENERATION);
    u32::try_from(least).unwrap_or(u32::MAX)
}

/// The block of a number. The numbers of one block belong to one generation, except that each
/// record begins with the first block.
pub(crate) fn block_of(number: u32) -> u64 {
    u64::from(number) / NUMBERS_PER_GENERATION
}

/// What is uncertain after a restore. None of it is durable: a new leader determines it anew.
#[derive(Debug)]
pub(crate) struct RestoreHold {
    /// Drivers that may have a copy which no record names.
    held: BTreeSet<DriverUid>,
    /// Frozen attempts, which are not thawed before it is certain that no later attempt followed
    /// them.
    frozen: BTreeSet<(WorkerUid, AttemptKey)>,
    /// Whether every lease that an earlier leader renewed has ended.
    waited: bool,
}

impl RestoreHold {
    pub(crate) fn new(generation: u64) -> RestoreHold {
        RestoreHold { held: BTreeSet::new(), frozen: BTreeSet::new(), waited: generation <= 1 }
    }

    /// Whether a driver is held, so that it must not be launched.
    pub(crate) fn holds(&self, uid: DriverUid) -> bool {
        self.held.contains(&uid)
    }

    /// Releases a driver: it has ended, or its open attempt executes under this leader. In the
    /// second case no leader closed the attempt, so no later one was made.
    pub(crate) fn release(&mut self, uid: DriverUid) {
        self.held.remove(&uid);
    }
}

impl Core {
    /// Whether a record was made before the store was last restored.
    pub(crate) fn is_past(&self, generation: u64) -> bool {
        generation < self.cluster.generation
    }

    /// Whether an executor may have run and ended in the time that the store does not know. It is
    /// then not run again under its number.
    pub(crate) fn may_have_run(&self, key: AttemptKey) -> bool {
        match key {
            AttemptKey::Driver(..) => false,
            AttemptKey::Executor(uid, id) => self.applications.get(uid).is_some_and(|application| {
                self.is_past(application.record.generation) && id.0 < first_number(self.cluster.generation)
            }),
        }
    }

    /// Whether a driver may have attempts that its record does not name.
    fn may_have_gone_on(&self, driver: &Driver) -> bool {
        let first = first_number(self.cluster.generation);
        self.is_past(driver.record.generation) && driver.newest_attempt().is_none_or(|newest| newest.0 < first)
    }
}

#[cfg(test)]
mod tests {
    use super::first_number;

    #[test]
    fn each_generation_has_numbers_of_its_own() {
        assert_eq!([0, 1, 2, 3].map(first_number), [0, 0, 1 << 20, 2 << 20]);
        assert_eq!(first_number(4_096), 4_095 << 20);
        assert_eq!([4_097, u64::MAX].map(first_number), [u32::MAX, u32::MAX]);
    }
}
