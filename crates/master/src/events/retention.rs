//! Limits the kept events by age, number of commits, and bytes.

use std::collections::VecDeque;
use std::time::Duration;

use muster_types::{Commit, EventsRecord, WallTime, Write};

/// How many events are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionLimits {
    /// The age after which events are deleted.
    pub age: Duration,
    /// The number of commits with events.
    pub commits: usize,
    /// Estimated bytes. The window is held in memory too, so that watchers resume without access to
    /// the store.
    pub bytes: u64,
}

impl Default for RetentionLimits {
    fn default() -> Self {
        // The design says an hour and 100,000 commits. 64 MiB hold about 350,000 events, and are a
        // quarter of the memory of a small machine.
        RetentionLimits { age: Duration::from_secs(3600), commits: 100_000, bytes: 64 << 20 }
    }
}

/// The most deletions in one transaction: enough to keep up with new events, and few enough to keep
/// transactions short.
const DELETIONS: usize = 32;

/// The age and the size of one commit's events.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CommitEventsSize {
    commit: Commit,
    wall: WallTime,
    bytes: u64,
}

impl CommitEventsSize {
    pub(crate) fn of(record: &EventsRecord) -> CommitEventsSize {
        let wall = record.events.last().map_or(WallTime::default(), |event| event.time);
        CommitEventsSize { commit: record.commit, wall, bytes: size_of_record(record) }
    }
}

/// The commits whose events are in the store.
pub(crate) struct EventRetention {
    limits: RetentionLimits,
    kept: VecDeque<CommitEventsSize>,
    bytes: u64,
    forgotten: Commit,
}

impl EventRetention {
    /// `history` is what the store holds, oldest first; `at` is its newest commit.
    pub(crate) fn load(
        limits: RetentionLimits,
        at: Commit,
        history: impl IntoIterator<Item = CommitEventsSize>,
    ) -> EventRetention {
        let kept: VecDeque<CommitEventsSize> = history.into_iter().collect();
        let forgotten = kept.front().map_or(at, |oldest| Commit(oldest.commit.0.saturating_sub(1)));
        let bytes = kept.iter().map(|kept| kept.bytes).sum();
        EventRetention { limits, kept, bytes, forgotten }
    }

    /// Counts a record that is written.
    pub(crate) fn add(&mut self, record: &EventsRecord) {
        let kept = CommitEventsSize::of(record);
        self.bytes += kept.bytes;
        self.kept.push_back(kept);
    }

    /// The newest commit whose events are gone.
    pub(crate) fn forgotten(&self) -> Commit {
        self.forgotten
    }

    /// Whether the oldest commit is past a limit.
    pub(crate) fn is_due(&self, now: WallTime) -> bool {
        self.kept.front().is_some_and(|oldest| self.is_over(oldest, now))
    }

    /// Adds to `writes` the deletions of commits past a limit, a bounded number at a time.
    pub(crate) fn delete(&mut self, now: WallTime, writes: &mut Vec<Write>) {
        for _ in 0..DELETIONS {
            if !self.is_due(now) {
                break;
            }
            let Some(gone) = self.kept.pop_front() else { break };
            self.bytes -= gone.bytes;
            self.forgotten = self.forgotten.max(gone.commit);
            writes.push(Write::DeleteEvents(gone.commit));
        }
    }

    fn is_over(&self, oldest: &CommitEventsSize, now: WallTime) -> bool {
        self.bytes > self.limits.bytes || self.kept.len() > self.limits.commits || oldest.wall + self.limits.age < now
    }
}

/// The approximate size of a record in memory, encoded and indexed.
fn size_of_record(record: &EventsRecord) -> u64 {
    record.events.iter().map(|event| 176 + event.message.len() as u64).sum::<u64>() + 64
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_types::{Event, Subject, WorkerState, WorkerUid};

    fn record(commit: u64, wall: u64) -> EventsRecord {
        let subject =
            Subject::Worker { name: "w".into(), uid: WorkerUid(1), state: WorkerState::Alive, draining: false };
        EventsRecord {
            commit: Commit(commit),
            events: vec![Event { time: WallTime(wall), message: String::new(), subject }],
        }
    }

    fn limits(age: u64, commits: usize) -> RetentionLimits {
        RetentionLimits { age: Duration::from_millis(age), commits, bytes: 1 << 20 }
    }

    #[test]
    fn what_is_too_old_goes() {
        let mut retention = EventRetention::load(limits(100, 10), Commit(0), []);
        retention.add(&record(3, 1000));
        retention.add(&record(5, 1050));
        assert!(!retention.is_due(WallTime(1100)));
        let mut writes = Vec::new();
        retention.delete(WallTime(1101), &mut writes);
        assert_eq!(writes, [Write::DeleteEvents(Commit(3))]);
        assert_eq!(retention.forgotten(), Commit(3));
    }

    #[test]
    fn what_is_too_much_goes_a_bounded_number_at_a_time() {
        let mut retention = EventRetention::load(limits(1_000_000, 10), Commit(0), []);
        for commit in 1..=100 {
            retention.add(&record(commit, 0));
        }
        let mut writes = Vec::new();
        retention.delete(WallTime(0), &mut writes);
        assert_eq!(writes.len(), DELETIONS);
        assert!(retention.is_due(WallTime(0)));
        while retention.is_due(WallTime(0)) {
            retention.delete(WallTime(0), &mut writes);
        }
        assert_eq!(writes.len(), 90);
    }

    #[test]
    fn loading_knows_what_was_forgotten_before() {
        let history = [record(7, 0), record(9, 0)].map(|record| CommitEventsSize::of(&record));
        assert_eq!(EventRetention::load(limits(1, 1), Commit(12), history).forgotten(), Commit(6));
        assert_eq!(EventRetention::load(limits(1, 1), Commit(12), []).forgotten(), Commit(12));
    }
}
