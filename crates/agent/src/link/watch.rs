//! The watch: while a stream is active, one idle call to another master, which answers at once when
//! the leader changes.
//!
//! It only makes a dial earlier. As always, the welcome that follows decides whether the worker
//! obeys.

use std::time::Duration;

use muster_types::{Epoch, Time};

use super::effect::LinkEffect;
use super::input::LeaderSeen;
use super::machine::{Link, RunnerState};
use super::masters::{Pace, below};
use super::stream::{StreamState, StreamTerms};

/// Longest delay before a watch is started again, at first and in the end. Without a watch the
/// worker still finds the next leader, by dialling.
const RETRY_INITIAL: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// Which master is watched, and how watching has gone so far.
#[derive(Debug, Default)]
pub(super) struct LeaderDial {
    held: Option<String>,
    /// Whether the watch that is held has told something.
    has_told: bool,
    /// The leader that the watch named last.
    leader: Option<(String, Epoch)>,
    retry_at: Time,
    failures: u32,
}

impl LeaderDial {
    /// When the next watch is to be started; `None` while one is held.
    fn due(&self) -> Option<Time> {
        self.held.is_none().then_some(self.retry_at)
    }

    /// Whether another master is watched that has answered, and has named no leader yet that is
    /// later than the highest epoch seen.
    pub(super) fn is_to_name(&self, highest: Option<Epoch>) -> bool {
        let is_later = |epoch: Epoch| highest.is_none_or(|highest| epoch.number() > highest.number());
        self.held.is_some() && self.has_told && !self.leader.as_ref().is_some_and(|(_, epoch)| is_later(*epoch))
    }

    /// Whether this is an address of the stream's leader: the stream may have been dialled under
    /// another name of it.
    fn is_leader(&self, address: &str, terms: &StreamTerms) -> bool {
        let named = self.leader.as_ref().is_some_and(|(leader, epoch)| leader == address && *epoch == terms.epoch());
        address == terms.master || named
    }
}

impl Link {
    /// When a watch is to be started: only beside an active stream, and only if there is a master
    /// other than its leader.
    pub(super) fn watch_deadline(&self) -> Option<Time> {
        let StreamState::Active { terms, .. } = &self.stream else { return None };
        let has_other = self.masters.named().iter().any(|address| !self.watch.is_leader(address, terms));
        self.watch.due().filter(|_| has_other)
    }

    /// Starts a watch, and ends one on the stream's own leader, since the end of that master would
    /// end both. A watch is kept while there is no stream.
    pub(super) fn mind_watch(&mut self, now: Time, entropy: u64) {
        let StreamState::Active { terms, .. } = &self.stream else { return };
        if self.watch.held.as_ref().is_some_and(|held| self.watch.is_leader(held, terms)) {
            self.watch.held = None;
            self.effects.push_back(LinkEffect::Unwatch);
        }
        if self.watch.due().is_none_or(|due| due > now) {
            return;
        }
        // The choice changes after each failure, and differs between workers.
        let turn = entropy.wrapping_add(u64::from(self.watch.failures));
        let others: Vec<&String> =
            self.masters.named().iter().filter(|address| !self.watch.is_leader(address, terms)).collect();
        if let Some(address) = pick(&others, turn).cloned() {
            self.watch.held = Some(address.clone());
            self.watch.has_told = false;
            self.effects.push_back(LinkEffect::Watch(address));
        }
    }

    pub(super) fn handle_watch_broken(&mut self, now: Time, entropy: u64, master: &str) {
        if self.watch.held.as_deref() != Some(master) {
            return;
        }
        let most = RETRY_INITIAL.saturating_mul(1 << self.watch.failures.min(16)).min(RETRY_MAX);
        self.watch.held = None;
        self.watch.failures = self.watch.failures.saturating_add(1);
        self.watch.retry_at = now + below(most, entropy);
        if let StreamState::Idle { dial_at } = self.stream {
            let sooner = self.masters.schedule(now, Pace::BackOff, false, entropy);
            self.stream = StreamState::Idle { dial_at: dial_at.min(sooner) };
        }
    }

    /// Dials a leader above the highest epoch seen at once; before a welcome, also the leader of
    /// that epoch.
    pub(super) fn handle_leader_seen(&mut self, now: Time, entropy: u64, seen: LeaderSeen) {
        if self.watch.held.as_ref() != Some(&seen.from) {
            return;
        }
        self.watch.failures = 0;
        self.watch.has_told = true;
        if !seen.masters.is_empty() {
            self.learn_masters(&seen.masters);
        }
        self.watch.leader.clone_from(&seen.leader);
        let Some((leader, epoch)) = seen.leader else { return };
        let highest = self.memory.epoch().map(|epoch| epoch.number());
        let is_higher = highest.is_none_or(|highest| epoch.number() > highest);
        let is_highest = highest.is_none_or(|highest| epoch.number() >= highest);
        let wanted = match &self.stream {
            StreamState::Idle { .. } => is_highest && matches!(self.runner, RunnerState::Ready(_)),
            StreamState::Dialing { master, .. } | StreamState::Greeting { master, .. } => {
                is_highest && *master != leader
            }
            StreamState::Remembering { .. } | StreamState::Counting { .. } | StreamState::Active { .. } => is_higher,
        };
        if wanted {
            let pace = self.masters.hear_of(leader);
            self.abandon(now, entropy, pace);
        }
    }
}

fn pick<'a>(addresses: &[&'a String], turn: u64) -> Option<&'a String> {
    let count = u64::try_from(addresses.len()).ok().filter(|count| *count > 0)?;
    addresses.get(usize::try_from(turn % count).ok()?).copied()
}
