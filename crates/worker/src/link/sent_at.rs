//! Both clocks at the sending of each message that may still be answered.

use std::collections::VecDeque;

use muster_types::{Time, WallTime};

use crate::clock;

/// Hellos and heartbeats that may still be answered: two unanswered heartbeats end a stream.
const KEPT: usize = 16;

/// The runner compares the clocks at the sending with those at the lease's end: a forward step of
/// the wall clock between them shortens the lease.
#[derive(Debug, Default)]
pub(super) struct SentAt(VecDeque<(Time, WallTime)>);

impl SentAt {
    /// Notes that something is sent now.
    pub(super) fn note(&mut self, now: Time) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back((now, clock::wall()));
    }

    /// The wall clock at a sending. If it was not noted, the wall clock as it was if it has not
    /// stepped since.
    pub(super) fn wall(&self, sent: Time) -> WallTime {
        let known = self.0.iter().find(|(time, _)| *time == sent).map(|(_, wall)| *wall);
        known.unwrap_or_else(|| {
            let since = clock::now().since(sent).as_millis();
            WallTime(clock::wall().0.saturating_sub(u64::try_from(since).unwrap_or(u64::MAX)))
        })
    }
}
