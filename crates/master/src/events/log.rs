//! The kept window of events, newest last.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use muster_types::Commit;

use super::encoded::{Chunk, Encoded};
use muster_proto::tokens::ResumeToken;

/// The uids whose events a watcher wants; `None` means all events.
pub(crate) type EventFilter = Option<Arc<HashSet<u128>>>;

/// About how many encoded bytes one response holds while a watcher catches up.
const PAGE_BYTES: usize = 256 << 10;
/// The most commits that are searched for one response, so that a watcher of one driver holds the
/// lock for a bounded time.
const PAGE_COMMITS: usize = 1024;

/// The kept window.
pub(crate) struct EventLog {
    generation: u64,
    commits: VecDeque<Encoded>,
    /// Nothing up to here is kept.
    compacted: Commit,
    /// The newest commit, with or without events.
    head: Commit,
}

/// A watch cannot begin at the place it asked for. These are the places where it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutOfRange {
    /// The oldest place to resume from.
    pub oldest: ResumeToken,
    /// The newest place to resume from.
    pub current: ResumeToken,
}

impl EventLog {
    /// An empty window behind the commit `at`.
    pub(crate) fn new(generation: u64, at: Commit) -> EventLog {
        EventLog { generation, commits: VecDeque::new(), compacted: at, head: at }
    }

    /// Adds the events of a commit, or none.
    pub(crate) fn push(&mut self, commit: Commit, events: Option<Encoded>) {
        self.head = self.head.max(commit);
        self.commits.extend(events);
    }

    /// Adds the loaded history, before anything is pushed. `compacted` is the commit before the
    /// oldest that is kept.
    pub(crate) fn load(&mut self, compacted: Commit, history: impl IntoIterator<Item = Encoded>) {
        self.compacted = compacted;
        self.commits.extend(history);
    }

    /// Forgets the events up to and including a commit.
    pub(crate) fn forget(&mut self, through: Commit) {
        while self.commits.front().is_some_and(|events| events.commit <= through) {
            self.commits.pop_front();
        }
        self.compacted = self.compacted.max(through);
    }

    /// The oldest place that a watch can resume from.
    pub(crate) fn oldest(&self) -> ResumeToken {
        ResumeToken::after(self.generation, self.compacted)
    }

    /// The place behind the newest commit.
    pub(crate) fn head(&self) -> ResumeToken {
        ResumeToken::after(self.generation, self.head)
    }

    /// Checks that everything after `from` is kept. `newest` is the newest commit that a reader may
    /// have been shown, which can be ahead of this window for a moment.
    pub(crate) fn check(&self, from: ResumeToken, newest: Commit) -> Result<(), OutOfRange> {
        let newest = newest.max(self.head);
        let kept = from.generation == self.generation && from >= self.oldest() && from.commit <= newest;
        if kept {
            Ok(())
        } else {
            Err(OutOfRange { oldest: self.oldest(), current: ResumeToken::after(self.generation, newest) })
        }
    }

    /// What follows a place, in one bounded response; `None` at the head.
    pub(crate) fn page(&self, from: ResumeToken, wanted: &EventFilter) -> Option<Chunk> {
        if from.commit > self.head || from == self.head() {
            return None;
        }
        let first = self.commits.partition_point(|events| events.commit < from.commit);
        let (mut events, mut bytes, mut position) = (Vec::new(), 0, None);
        for commit in self.commits.range(first..).take(PAGE_COMMITS) {
            if bytes >= PAGE_BYTES {
                break;
            }
            let after = (commit.commit == from.commit).then_some(from.index);
            for run in chosen(commit, after, wanted) {
                bytes += run.len();
                events.push(run);
            }
            position = Some(ResumeToken::after(self.generation, commit.commit));
        }
        let reached_head =
            position.is_none_or(|position| self.commits.back().is_none_or(|last| last.commit == position.commit));
        let position = if reached_head { self.head() } else { position.unwrap_or(from) };
        Some(Chunk { events, position })
    }
}

/// The runs of a commit's events that a watcher wants, after an index.
pub(crate) fn chosen(commit: &Encoded, after: Option<u32>, wanted: &EventFilter) -> Vec<prost::bytes::Bytes> {
    match wanted {
        None => {
            let all = commit.after(after);
            if all.is_empty() { Vec::new() } else { vec![all] }
        }
        Some(uids) => {
            let seen = after.map_or(0, |index| (index as usize).saturating_add(1));
            commit
                .subjects()
                .enumerate()
                .filter(|(index, subject)| *index >= seen && uids.contains(subject))
                .map(|(index, _)| commit.event(index))
                .collect()
        }
    }
}
