//! The state that the records of a journal add up to.

use std::collections::BTreeMap;

use muster_types::{AttemptKey, Outcome, WallTime};

use super::Record;
use crate::runner_protocol::Accepted;

/// Every attempt that is not closed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JournalState {
    attempts: BTreeMap<AttemptKey, JournaledAttempt>,
}

/// What the journal says of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournaledAttempt {
    /// As it was accepted.
    pub accepted: Accepted,
    /// Its process id and when it started.
    pub started: Option<(u32, WallTime)>,
    /// How its main process ended, if other processes of its tree were still there.
    pub exited: Option<Outcome>,
    /// The sequence of the report of its end, how it ended, and when.
    pub ended: Option<(u64, Outcome, WallTime)>,
}

impl JournalState {
    /// The state after these records.
    pub fn of(records: impl IntoIterator<Item = Record>) -> JournalState {
        let mut memory = JournalState::default();
        for record in records {
            memory.apply(record);
        }
        memory
    }

    /// Adds one record. A record of an attempt that was never accepted, or that is closed, is
    /// ignored.
    pub fn apply(&mut self, record: Record) {
        match record {
            Record::Accepted(accepted) => {
                let remembered = JournaledAttempt { accepted, started: None, exited: None, ended: None };
                self.attempts.entry(remembered.accepted.attempt).or_insert(remembered);
            }
            Record::Started { attempt, pid, started } => {
                self.change(&attempt, |remembered| remembered.started = Some((pid, started)));
            }
            Record::Exited { attempt, outcome } => {
                self.change(&attempt, |remembered| remembered.exited = Some(outcome));
            }
            Record::Ended { attempt, sequence, outcome, ended } => {
                self.change(&attempt, |remembered| remembered.ended = Some((sequence, outcome, ended)));
            }
            Record::Closed(attempt) => {
                self.attempts.remove(&attempt);
            }
        }
    }

    fn change(&mut self, attempt: &AttemptKey, change: impl FnOnce(&mut JournaledAttempt)) {
        if let Some(remembered) = self.attempts.get_mut(attempt) {
            change(remembered);
        }
    }

    /// The attempts, in the order of their keys.
    pub fn into_attempts(self) -> BTreeMap<AttemptKey, JournaledAttempt> {
        self.attempts
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use muster_types::{AllocatedResources, AttemptNumber, DriverUid, Exit};

    use super::*;

    fn attempt(number: u32) -> AttemptKey {
        AttemptKey::Driver(DriverUid(9), AttemptNumber(number))
    }

    fn accepted(number: u32) -> Accepted {
        Accepted {
            attempt: attempt(number),
            id: "a".into(),
            leased: false,
            resources: AllocatedResources::default(),
            kill_grace: Duration::ZERO,
        }
    }

    fn started(number: u32) -> Record {
        Record::Started { attempt: attempt(number), pid: 5, started: WallTime(1) }
    }

    fn ended(number: u32) -> Record {
        let outcome = Outcome::exited(Exit::Code(7));
        Record::Ended { attempt: attempt(number), sequence: 3, outcome, ended: WallTime(2) }
    }

    #[test]
    fn an_end_is_remembered_until_it_is_closed() {
        let mut memory = JournalState::of([Record::Accepted(accepted(1)), started(1), ended(1)]);
        let kept = memory.clone().into_attempts();
        assert_eq!(kept[&attempt(1)].ended, Some((3, Outcome::exited(Exit::Code(7)), WallTime(2))));
        memory.apply(Record::Closed(attempt(1)));
        assert!(memory.into_attempts().is_empty());
    }

    #[test]
    fn what_ran_when_the_writer_died_has_no_end() {
        let memory = JournalState::of([Record::Accepted(accepted(1)), started(1)]).into_attempts();
        assert_eq!(memory[&attempt(1)].started, Some((5, WallTime(1))));
        assert_eq!(memory[&attempt(1)].ended, None);
    }

    #[test]
    fn accepting_again_changes_nothing() {
        let records = [Record::Accepted(accepted(1)), started(1), Record::Accepted(accepted(1))];
        assert!(JournalState::of(records).into_attempts()[&attempt(1)].started.is_some());
    }

    #[test]
    fn records_of_the_unknown_say_nothing() {
        assert_eq!(JournalState::of([started(1), ended(1), Record::Closed(attempt(2))]), JournalState::default());
    }
}
