//! Whom to dial next, and when.

use std::time::Duration;

use muster_types::Time;

/// Longest delay before the first repetition. Short, because a single broken stream is most often
/// mended at once.
pub(super) const BACKOFF_INITIAL: Duration = Duration::from_millis(100);
/// Longest delay of all. A worker that nobody tells of the next leader must find it within two
/// seconds, and may have to ask a master that is gone before one that knows: two delays of at most
/// a second each, half of that on average. A thousand workers without a leader then dial two
/// thousand times per second, spread over the whole second and all masters, where one that does not
/// lead answers in a fraction of a millisecond and a machine without a master refuses in its
/// kernel.
pub(super) const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// Delay after a refusal, which only a person mends.
pub(super) const REFUSED_RETRY: Duration = Duration::from_secs(30);
/// Leaders that are followed by hearsay without a welcome between; more would be two masters that
/// name each other.
const HEARSAY_LIMIT: u32 = 3;
/// Masters kept; more than any cluster has.
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
    /// As a master named them last.
    named: Vec<String>,
}

/// How long to wait before the next dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// At once, if this has not been done too often already.
    AtOnce,
    /// With full jitter, longer each time.
    BackOff,
    /// As after a refusal.
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

    /// Those that masters have named themselves, if they did: what was configured may be one of
    /// them under another name, or one of another cluster.
    pub(super) fn named(&self) -> &[String] {
        if self.named.is_empty() { &self.addresses } else { &self.named }
    }

    /// Takes what a master says; what was configured stays. Answers whether anything is new.
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

    /// The address to dial now: the leader as another master named it, or the next in turn. `None`
    /// without any master.
    pub(super) fn choose(&mut self) -> Option<String> {
        if let Some(leader) = self.leader.take() {
            return Some(leader);
        }
        let address = self.addresses.get(self.next)?.clone();
        self.next = (self.next + 1) % self.addresses.len();
        Some(address)
    }

    /// The stream to this address should be tried first again, as it was not its master that
    /// failed.
    pub(super) fn prefer(&mut self, address: &str) {
        self.leader = Some(address.to_owned());
    }

    /// A master named the leader.
    pub(super) fn hear_of(&mut self, leader: String) -> Pace {
        self.leader = Some(leader);
        Pace::AtOnce
    }

    /// When to dial next. `entropy` spreads workers over the whole delay, so that they do not come
    /// back in step.
    pub(super) fn schedule(&mut self, now: Time, pace: Pace, entropy: u64) -> Time {
        match pace {
            Pace::AtOnce if self.hearsay < HEARSAY_LIMIT => {
                self.hearsay += 1;
                now
            }
            Pace::AtOnce | Pace::BackOff => {
                let rounds = self.failures / u32::try_from(self.addresses.len().max(1)).unwrap_or(u32::MAX);
                self.failures = self.failures.saturating_add(1);
                now + below(BACKOFF_INITIAL.saturating_mul(1 << rounds.min(16)).min(BACKOFF_MAX), entropy)
            }
            Pace::Slow => {
                let half = REFUSED_RETRY / 2 / u32::try_from(self.addresses.len().max(1)).unwrap_or(u32::MAX);
                now + half + below(half, entropy)
            }
        }
    }

    /// A leader answered a heartbeat: the next trouble is a new one.
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
