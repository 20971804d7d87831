//! Which master to dial next, and when.

use std::time::Duration;

use muster_types::Time;

/// Longest delay before the first repetition. Short, because a single broken stream usually
/// recovers at once.
pub(super) const BACKOFF_INITIAL: Duration = Duration::from_millis(100);
/// Longest delay of all. A worker that is not told of the next leader must find it within two
/// seconds, and may have to ask a dead master before one that knows: that makes two delays of at
/// most a second each, half of that on average. A thousand workers without a leader then dial two
/// thousand times per second, spread over the whole second and all masters. A master that does not
/// lead answers in a fraction of a millisecond, and the kernel of a machine without a master
/// refuses.
pub(super) const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// Longest delay between dials while a watched master is to name the next leader, from the first
/// repetition on. It does so as soon as there is one, and a dial before is good only where the
/// watch has died unseen. Ten thousand workers that shake hands with masters that do not lead,
/// several times a second, would take the processors that the next leader needs.
pub(super) const BACKOFF_WATCHED: Duration = Duration::from_secs(5);
/// Delay after a refusal, which only a person can mend.
pub(super) const REFUSED_RETRY: Duration = Duration::from_secs(30);
/// How many named leaders are dialled at once without an answered heartbeat in between. A longer
/// chain would be two masters that name each other.
const HEARSAY_LIMIT: u32 = 3;
/// Most masters that are kept; no cluster has as many.
const MASTERS_LIMIT: usize = 32;

/// The masters known, and how dialling has gone so far.
#[derive(Debug)]
pub(super) struct MasterList {
    addresses: Vec<String>,
    configured: usize,
    next: usize,
    failures: u32,
    hearsay: u32,
    leader: Option<String>,
    /// The masters, as one of them named them last.
    named: Vec<String>,
}

/// How long to wait before the next dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// At once, unless that was done too often already.
    AtOnce,
    /// After a random delay, whose bound grows with each round over the masters.
    BackOff,
    /// After the long delay of a refusal.
    Slow,
}

impl MasterList {
    pub(super) fn new(configured: Vec<String>) -> MasterList {
        let configured_count = configured.len();
        MasterList {
            addresses: configured,
            configured: configured_count,
            next: 0,
            failures: 0,
            hearsay: 0,
            leader: None,
            named: Vec::new(),
        }
    }

    pub(super) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// The masters as they named themselves, if they did: a configured address may be another name
    /// of one of them, or belong to another cluster.
    pub(super) fn named(&self) -> &[String] {
        if self.named.is_empty() { &self.addresses } else { &self.named }
    }

    /// Takes the masters that a master names; the configured ones stay. Returns whether the list
    /// changed.
    pub(super) fn learn(&mut self, masters: &[String]) -> bool {
        self.named = masters.iter().take(MASTERS_LIMIT).cloned().collect();
        let mut addresses = self.addresses[..self.configured].to_vec();
        for master in masters {
            if !addresses.contains(master) && addresses.len() < MASTERS_LIMIT {
                addresses.push(master.clone());
            }
        }
        let changed = addresses != self.addresses;
        if changed {
            self.addresses = addresses;
            self.next %= self.addresses.len().max(1);
        }
        changed
    }

    /// The address to dial now: the named leader, or the next in turn. `None` if no master is
    /// known.
    pub(super) fn choose(&mut self) -> Option<String> {
        if let Some(leader) = self.leader.take() {
            return Some(leader);
        }
        let address = self.addresses.get(self.next)?.clone();
        self.next = (self.next + 1) % self.addresses.len();
        Some(address)
    }

    /// Dials this address first the next time, since its master did not fail.
    pub(super) fn prefer(&mut self, address: &str) {
        self.leader = Some(address.to_owned());
    }

    /// Takes the leader that a master named.
    pub(super) fn hear_of(&mut self, leader: String) -> Pace {
        self.leader = Some(leader);
        Pace::AtOnce
    }

    /// When to dial next, where a watched master is to name the next leader, or none is. `entropy`
    /// spreads workers over the whole delay, so that they do not come back in step.
    pub(super) fn schedule(&mut self, now: Time, pace: Pace, is_to_be_named: bool, entropy: u64) -> Time {
        match pace {
            Pace::AtOnce if self.hearsay < HEARSAY_LIMIT => {
                self.hearsay += 1;
                now
            }
            Pace::AtOnce | Pace::BackOff => {
                let rounds = self.failures / u32::try_from(self.addresses.len().max(1)).unwrap_or(u32::MAX);
                let most = match self.failures {
                    1.. if is_to_be_named => BACKOFF_WATCHED,
                    _ => BACKOFF_INITIAL.saturating_mul(1 << rounds.min(16)).min(BACKOFF_MAX),
                };
                self.failures = self.failures.saturating_add(1);
                now + below(most, entropy)
            }
            Pace::Slow => {
                let half = REFUSED_RETRY / 2 / u32::try_from(self.addresses.len().max(1)).unwrap_or(u32::MAX);
                now + half + below(half, entropy)
            }
        }
    }

    /// A leader answered a heartbeat: later failures are counted anew.
    pub(super) fn settle(&mut self) {
        self.failures = 0;
        self.hearsay = 0;
    }
}

/// A length below `most`.
pub(super) fn below(most: Duration, entropy: u64) -> Duration {
    let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX).max(1);
    Duration::from_nanos(entropy % nanos)
}
