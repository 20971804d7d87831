//! Executors that end before they are linked: when there is no hope that others will do better.

use std::collections::BTreeSet;

use muster_dag::ExecutorLoss;
use muster_types::ExecutorId;

/// So many of them, one after the other, are no accident.
const MOST_FAILED_STARTS: u32 = 3;

/// How the starts of executors go.
#[derive(Debug, Default)]
pub(super) struct FailedStarts {
    /// Those that were linked, and of whose end the master has not told.
    linked: BTreeSet<ExecutorId>,
    /// How many in a row have ended by themselves and were never linked.
    in_a_row: u32,
}

impl FailedStarts {
    /// An executor is linked.
    pub(super) fn linked(&mut self, executor: ExecutorId) {
        self.linked.insert(executor);
        self.in_a_row = 0;
    }

    /// The master tells of the end of an executor. The exit code of one whose start has failed, if
    /// it is one too many.
    pub(super) fn ended(&mut self, executor: ExecutorId, loss: &ExecutorLoss) -> Option<i32> {
        let was_linked = self.linked.remove(&executor);
        let ExecutorLoss::Exited { code } = loss else { return None };
        if was_linked {
            return None;
        }
        self.in_a_row += 1;
        (self.in_a_row >= MOST_FAILED_STARTS).then_some(*code)
    }

    /// The master knows of these alone.
    pub(super) fn keep(&mut self, alive: &BTreeSet<ExecutorId>) {
        self.linked.retain(|executor| alive.contains(executor));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXITED: ExecutorLoss = ExecutorLoss::Exited { code: 1 };

    #[test]
    fn three_in_a_row_that_were_never_linked_are_too_many() {
        let mut starts = FailedStarts::default();
        let ended = |starts: &mut FailedStarts, number| starts.ended(ExecutorId(number), &EXITED);
        assert_eq!([ended(&mut starts, 0), ended(&mut starts, 1)], [None, None]);
        // A lost machine is not the executor's doing.
        assert_eq!(starts.ended(ExecutorId(2), &ExecutorLoss::ProcessLost), None);
        assert_eq!([ended(&mut starts, 3), ended(&mut starts, 4)], [Some(1), Some(1)]);
        // One that is linked shows that executors can be, and may end as it likes.
        starts.linked(ExecutorId(5));
        let all: Vec<_> = (5..8).map(|number| ended(&mut starts, number)).collect();
        assert_eq!(all, [None, None, None]);
        assert_eq!(ended(&mut starts, 8), Some(1));
    }

    #[test]
    fn what_the_master_has_forgotten_is_not_remembered() {
        let mut starts = FailedStarts::default();
        (0..3).for_each(|number| starts.linked(ExecutorId(number)));
        starts.keep(&BTreeSet::from([ExecutorId(1), ExecutorId(9)]));
        assert_eq!(starts.linked, BTreeSet::from([ExecutorId(1)]));
    }
}
