//! A store that went back in time: its records are older than what runs.
//!
//! Every restore raises the store's generation. A driver that was accepted in an earlier one, and
//! of which no attempt was made in the present one, may have gone on in the time that the store
//! forgot: its open attempt may be over, a later one may run anywhere. It is *held*: nothing of it
//! is launched, and its absence proves nothing, until every worker that could run a copy has said
//! what it runs, or can run nothing any more. What runs and no record names is *quarantined*:
//! shown, left running, its resources taken, ended by nobody but an operator; and it holds its
//! driver, because a second copy must not overlap.
//!
//! In the first generation all of this is empty and costs nothing.

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

/// Numbers of attempts and executors that each generation has for itself: more than any run of one
/// makes. A fencing token must grow over what ran in the time that the store forgot, however long
/// that was.
const NUMBERS_PER_GENERATION: u64 = 1 << 20;

/// The least number that a generation gives to what an earlier one made. Saturates beyond 4,095
/// restores.
pub(crate) fn first_number(generation: u64) -> u32 {
    let least = generation.saturating_sub(1).saturating_mul(NUMBERS_PER_GENERATION);
    u32::try_from(least).unwrap_or(u32::MAX)
}

/// Numbers of one block are of one generation, except that each record begins with the first block.
pub(crate) fn block_of(number: u32) -> u64 {
    u64::from(number) / NUMBERS_PER_GENERATION
}

/// What is not known since the store was restored. None of it is durable: a new leader finds it out
/// anew.
#[derive(Debug)]
pub(crate) struct RestoreHold {
    /// Drivers that may have a copy which no record names.
    held: BTreeSet<DriverUid>,
    /// Attempts that stand frozen, and are not told to go on before it is certain that nothing
    /// followed them.
    frozen: BTreeSet<(WorkerUid, AttemptKey)>,
    /// Every lease that a leader before this one answered has ended.
    waited: bool,
}

impl RestoreHold {
    pub(crate) fn new(generation: u64) -> RestoreHold {
        RestoreHold { held: BTreeSet::new(), frozen: BTreeSet::new(), waited: generation <= 1 }
    }

    /// Whether nothing of a driver may be launched.
    pub(crate) fn holds(&self, uid: DriverUid) -> bool {
        self.held.contains(&uid)
    }

    /// Its open attempt executes under this leader: so nobody ever closed it, and no later one was
    /// made. Or it has ended.
    pub(crate) fn release(&mut self, uid: DriverUid) {
        self.held.remove(&uid);
    }
}

impl Core {
    /// Whether a record was made before the store was last restored.
    pub(crate) fn is_past(&self, generation: u64) -> bool {
        generation < self.cluster.generation
    }

    /// Whether an executor may have run and ended in the time that the store forgot. It is never
    /// run again under its number.
    pub(crate) fn may_have_run(&self, key: AttemptKey) -> bool {
        match key {
            AttemptKey::Driver(..) => false,
            AttemptKey::Executor(uid, id) => self.applications.get(uid).is_some_and(|application| {
                self.is_past(application.record.generation) && id.0 < first_number(self.cluster.generation)
            }),
        }
    }

    /// Whether a driver may have attempts that its record does not know.
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
