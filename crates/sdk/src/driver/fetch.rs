//! Results that were too large to come with the end of their task: fetched one after the other
//! from each executor, so that no more than one of each waits in memory.

use std::collections::{BTreeMap, VecDeque};

use muster_dag::TaskAttemptId;
use muster_proto::v1;

/// The fetches from one executor.
#[derive(Debug, Default)]
pub(crate) struct ResultFetches {
    waiting: VecDeque<TaskAttemptId>,
    ends: BTreeMap<TaskAttemptId, v1::TaskEnded>,
    /// The one whose pieces come.
    current: Option<(TaskAttemptId, Vec<u8>)>,
}

/// What became of a piece.
#[derive(Debug, PartialEq)]
pub(crate) enum FetchProgress {
    /// More follow, or nobody waits for it.
    Goes,
    /// A result is here.
    Complete(v1::TaskEnded),
    /// The executor has it no more.
    Lost(TaskAttemptId),
}

impl ResultFetches {
    /// Adds the end of an attempt whose result is to be fetched.
    pub(crate) fn add(&mut self, ended: v1::TaskEnded) {
        let attempt = TaskAttemptId(ended.task_attempt);
        self.waiting.push_back(attempt);
        self.ends.insert(attempt, ended);
    }

    /// The next one to ask for, unless one is on its way.
    pub(crate) fn next(&mut self) -> Option<TaskAttemptId> {
        while self.current.is_none()
            && let Some(attempt) = self.waiting.pop_front()
        {
            if self.ends.contains_key(&attempt) {
                self.current = Some((attempt, Vec::new()));
                return Some(attempt);
            }
        }
        None
    }

    pub(crate) fn add_piece(&mut self, piece: &v1::DataPiece) -> FetchProgress {
        let Some((attempt, mut data)) = self.current.take_if(|(attempt, _)| attempt.0 == piece.number) else {
            return FetchProgress::Goes;
        };
        data.extend_from_slice(&piece.data);
        if !piece.last {
            self.current = Some((attempt, data));
            return FetchProgress::Goes;
        }
        match self.ends.remove(&attempt) {
            Some(_) if piece.missing => FetchProgress::Lost(attempt),
            Some(ended) => FetchProgress::Complete(v1::TaskEnded { result: data.into(), ..ended }),
            None => FetchProgress::Goes,
        }
    }

    /// Forgets a result that nobody wants any more. Returns whether it was known.
    pub(crate) fn remove(&mut self, attempt: TaskAttemptId) -> bool {
        self.ends.remove(&attempt).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(attempt: u64) -> v1::TaskEnded {
        v1::TaskEnded { task_attempt: attempt, kept_bytes: 4, ..Default::default() }
    }

    fn piece(number: u64, data: &'static [u8], last: bool) -> v1::DataPiece {
        v1::DataPiece { number, data: data.into(), last, missing: false }
    }

    #[test]
    fn results_are_fetched_one_after_the_other() {
        let mut fetches = ResultFetches::default();
        fetches.add(kept(1));
        fetches.add(kept(2));
        fetches.add(kept(3));
        assert_eq!((fetches.next(), fetches.next()), (Some(TaskAttemptId(1)), None));
        assert_eq!(fetches.add_piece(&piece(1, b"ab", false)), FetchProgress::Goes);
        let whole = v1::TaskEnded { result: b"abcd".as_slice().into(), ..kept(1) };
        assert_eq!(fetches.add_piece(&piece(1, b"cd", true)), FetchProgress::Complete(whole));
        assert!(fetches.remove(TaskAttemptId(2)) && !fetches.remove(TaskAttemptId(2)));
        assert_eq!(fetches.next(), Some(TaskAttemptId(3)), "nobody wants the second");
        let missing = v1::DataPiece { missing: true, ..piece(3, b"", true) };
        assert_eq!(fetches.add_piece(&missing), FetchProgress::Lost(TaskAttemptId(3)));
    }

    #[test]
    fn a_fetch_that_nobody_wants_any_more_ends_before_the_next_begins() {
        let mut fetches = ResultFetches::default();
        fetches.add(kept(1));
        fetches.add(kept(2));
        assert_eq!(fetches.next(), Some(TaskAttemptId(1)));
        assert!(fetches.remove(TaskAttemptId(1)));
        assert_eq!(fetches.next(), None, "its pieces are on their way");
        assert_eq!(fetches.add_piece(&piece(1, b"abcd", true)), FetchProgress::Goes);
        assert_eq!(fetches.next(), Some(TaskAttemptId(2)));
    }
}
