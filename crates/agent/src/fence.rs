//! The fence decides when leased attempts must stop. It needs nothing but the clocks for that.
//!
//! The runner runs this machine. The lease of every leased attempt ends at (sending time of the
//! newest answered heartbeat) + (lease), by `CLOCK_BOOTTIME`; only a newer answered heartbeat moves
//! that end. If the wall clock has stepped forward against `CLOCK_BOOTTIME` since that heartbeat
//! was sent, time passed which `CLOCK_BOOTTIME` did not count (the host had suspended the machine),
//! and the lease is shorter by as much. A step back lengthens nothing.
//!
//! A **term** is a sequence of renewals without a gap: each was sent before the lease of the one
//! before it ended. A renewal that was sent later opens the next term, and everything held under
//! the earlier term is over, even if no clock was read in between. So a runner that was stopped
//! past the end of a lease decides, from what it reads afterwards, exactly as if it had been awake.

use std::collections::BTreeSet;
use std::time::Duration;

use muster_types::{AttemptKey, Now, Time};

use crate::runner_protocol::Renewal;

/// Leased attempts and the lease that they share.
#[derive(Debug, Clone, Default, Hash)]
pub struct Fence {
    held: BTreeSet<AttemptKey>,
    /// Attempts of a term that has ended, which [`Fence::expire`] has not returned yet.
    lapsed: BTreeSet<AttemptKey>,
    lease: Option<Lease>,
    /// The number of the present term; zero before the first renewal.
    term: u64,
    /// Whether the end of the present term was seen.
    is_over: bool,
}

#[derive(Debug, Clone, Copy, Hash)]
pub(crate) struct Lease {
    pub(crate) renewal: Renewal,
    /// The longest forward step of the wall clock seen since the heartbeat was sent.
    step: Duration,
}

impl Lease {
    pub(crate) fn new(renewal: Renewal) -> Lease {
        Lease { renewal, step: Duration::ZERO }
    }

    pub(crate) fn observe(&mut self, now: Now) {
        let since_sent = now.time.since(self.renewal.sent);
        let wall_since_sent = Duration::from_millis(now.wall.0.saturating_sub(self.renewal.sent_wall.0));
        // The wall clock is read in milliseconds: a difference of one is rounding.
        let step = wall_since_sent.saturating_sub(since_sent + Duration::from_millis(1));
        self.step = self.step.max(step);
    }

    pub(crate) fn end(&self) -> Time {
        self.renewal.sent + self.renewal.lease.saturating_sub(self.step)
    }
}

impl Fence {
    /// A fence without a lease, which holds nothing.
    pub fn new() -> Fence {
        Fence::default()
    }

    /// Takes a renewal. Returns false and changes nothing if it is not newer than the known one, or
    /// if it comes from the future: that is impossible, and would hold attempts for longer than any
    /// leader expects.
    pub fn renew(&mut self, renewal: Renewal, now: Now) -> bool {
        let is_newer = self.lease.is_none_or(|lease| renewal.sent > lease.renewal.sent);
        if !is_newer || renewal.sent > now.time {
            return false;
        }
        if self.is_over || self.lease.is_none_or(|lease| renewal.sent >= lease.end()) {
            self.term += 1;
            self.is_over = false;
            self.lapsed.append(&mut self.held);
        }
        let mut lease = Lease::new(renewal);
        lease.observe(now);
        self.lease = Some(lease);
        true
    }

    /// The number of the present term; zero before the first renewal.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// The newest term that is known to have ended.
    pub fn ended_term(&self) -> u64 {
        if self.is_over { self.term } else { self.term.saturating_sub(1) }
    }

    /// Whether an attempt is held under the present term.
    pub fn holds(&self, attempt: &AttemptKey) -> bool {
        self.held.contains(attempt)
    }

    /// The newest renewal.
    pub fn renewal(&self) -> Option<Renewal> {
        self.lease.map(|lease| lease.renewal)
    }

    /// Whether the lease stands.
    pub fn stands(&mut self, now: Now) -> bool {
        self.lease_end(now).is_some_and(|end| now.time < end)
    }

    /// When the lease ends or ended; `None` before the first renewal.
    pub fn lease_end(&mut self, now: Now) -> Option<Time> {
        self.lease.as_mut().map(|lease| {
            lease.observe(now);
            lease.end()
        })
    }

    /// Holds a leased attempt from now on, if the lease stands. If it does not, returns false, and
    /// the attempt must not be started.
    pub fn admit(&mut self, attempt: AttemptKey, now: Now) -> bool {
        let stands = self.stands(now);
        if stands {
            self.held.insert(attempt);
        }
        stands
    }

    /// Forgets an attempt that has ended. One that is not held is ignored.
    pub fn release(&mut self, attempt: &AttemptKey) {
        self.held.remove(attempt);
        self.lapsed.remove(attempt);
    }

    /// Returns the attempts whose lease is over, each once: they must be stopped at once. To be
    /// called after every waiting message has been read, with clocks read just before.
    pub fn expire(&mut self, now: Now) -> BTreeSet<AttemptKey> {
        let mut expired = std::mem::take(&mut self.lapsed);
        if self.lease.is_some() && !self.stands(now) {
            self.is_over = true;
            expired.append(&mut self.held);
        }
        expired
    }

    /// When [`Fence::expire`] must be called next: at once if attempts of an earlier term wait for
    /// it. `None` if nothing is held.
    pub fn next_deadline(&self) -> Option<Time> {
        let lease = self.lease?;
        match (self.lapsed.is_empty(), self.held.is_empty()) {
            // The sending of the present renewal is past.
            (false, _) => Some(lease.renewal.sent),
            (true, false) => Some(lease.end()),
            (true, true) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use muster_types::{AttemptNumber, DriverUid, WallTime};

    use super::*;

    const WALL: u64 = 1_700_000_000_000;

    fn attempt(number: u32) -> AttemptKey {
        AttemptKey::Driver(DriverUid(1), AttemptNumber(number))
    }

    /// Both clocks `seconds` after the start, the wall clock `step` seconds ahead.
    fn at_stepped(seconds: u64, step: i64) -> Now {
        let wall = (WALL + seconds * 1000).saturating_add_signed(step * 1000);
        Now { time: Time(seconds * 1_000_000_000), wall: WallTime(wall) }
    }

    fn at(seconds: u64) -> Now {
        at_stepped(seconds, 0)
    }

    fn sent(seconds: u64) -> Renewal {
        Renewal { sent: at(seconds).time, sent_wall: at(seconds).wall, lease: Duration::from_secs(45) }
    }

    #[test]
    fn nothing_leased_starts_before_the_first_answered_heartbeat() {
        let mut fence = Fence::new();
        assert!(!fence.admit(attempt(1), at(1)));
        assert_eq!(fence.next_deadline(), None);
        assert!(fence.expire(at(1000)).is_empty());
    }

    #[test]
    fn the_lease_counts_from_the_sending_and_not_from_the_answer() {
        let mut fence = Fence::new();
        assert!(fence.renew(sent(10), at(30)));
        assert!(fence.admit(attempt(1), at(30)));
        assert_eq!(fence.next_deadline(), Some(at(55).time));
        assert!(fence.expire(at(54)).is_empty());
        assert_eq!(fence.expire(at(55)), BTreeSet::from([attempt(1)]));
        assert!(fence.expire(at(56)).is_empty(), "each is said once");
    }

    #[test]
    fn renewals_only_move_forward() {
        let mut fence = Fence::new();
        assert!(fence.renew(sent(20), at(20)));
        assert!(!fence.renew(sent(10), at(21)));
        assert!(!fence.renew(sent(20), at(21)));
        assert_eq!(fence.lease_end(at(21)), Some(at(65).time));
        assert!(fence.renew(sent(21), at(22)));
        assert_eq!(fence.lease_end(at(22)), Some(at(66).time));
    }

    #[test]
    fn a_renewal_from_the_future_is_refused() {
        let mut fence = Fence::new();
        assert!(!fence.renew(sent(100), at(1)));
        assert!(!fence.admit(attempt(1), at(1)));
    }

    #[test]
    fn a_late_renewal_that_is_read_first_saves_what_it_holds() {
        let mut fence = Fence::new();
        fence.renew(sent(0), at(0));
        fence.admit(attempt(1), at(0));
        fence.renew(sent(44), at(100 - 12));
        assert!(fence.expire(at(88)).is_empty());
        assert_eq!(fence.expire(at(89)), BTreeSet::from([attempt(1)]));
    }

    #[test]
    fn a_renewal_after_a_gap_saves_nothing_although_nobody_saw_the_gap() {
        let mut fence = Fence::new();
        fence.renew(sent(0), at(0));
        fence.admit(attempt(1), at(44));
        assert_eq!((fence.term(), fence.ended_term()), (1, 0));
        assert!(fence.renew(sent(45), at(60)));
        assert_eq!((fence.term(), fence.ended_term()), (2, 1));
        assert!(!fence.holds(&attempt(1)));
        assert_eq!(fence.next_deadline(), Some(at(45).time), "it is to be stopped at once");
        assert!(fence.admit(attempt(2), at(60)));
        assert_eq!(fence.next_deadline(), Some(at(45).time));
        assert_eq!(fence.expire(at(60)), BTreeSet::from([attempt(1)]), "the lease stands, but not that one");
        assert!(fence.holds(&attempt(2)));
        assert_eq!(fence.next_deadline(), Some(at(90).time));
    }

    #[test]
    fn an_end_that_was_seen_is_not_undone_by_a_renewal_from_before_it() {
        let mut fence = Fence::new();
        fence.renew(sent(0), at(0));
        assert!(fence.expire(at(45)).is_empty());
        assert_eq!((fence.term(), fence.ended_term()), (1, 1));
        assert!(fence.renew(sent(44), at(46)));
        assert_eq!((fence.term(), fence.ended_term()), (2, 1), "whoever was told of the end sees another term");
    }

    #[test]
    fn nothing_starts_at_the_very_end_of_the_lease() {
        let mut fence = Fence::new();
        fence.renew(sent(0), at(0));
        assert!(fence.admit(attempt(1), at(44)));
        assert!(!fence.admit(attempt(2), at(45)));
    }

    #[test]
    fn what_ended_is_not_stopped() {
        let mut fence = Fence::new();
        fence.renew(sent(0), at(0));
        fence.admit(attempt(1), at(0));
        fence.admit(attempt(2), at(0));
        fence.release(&attempt(1));
        assert_eq!(fence.expire(at(45)), BTreeSet::from([attempt(2)]));
    }

    #[test]
    fn a_forward_step_of_the_wall_clock_shortens_the_lease_for_good() {
        let mut fence = Fence::new();
        fence.renew(sent(0), at(0));
        fence.admit(attempt(1), at(0));
        assert!(fence.expire(at_stepped(5, 20)).is_empty());
        let end = fence.lease_end(at(6)).unwrap();
        assert!(end < at(26).time, "shortened by the step, although the clock went back");
        assert_eq!(fence.expire(at(26)), BTreeSet::from([attempt(1)]));
    }

    #[test]
    fn a_backward_step_lengthens_nothing() {
        let mut fence = Fence::new();
        fence.renew(sent(0), at(0));
        assert_eq!(fence.lease_end(at_stepped(5, -3600)), Some(at(45).time));
    }

    #[test]
    fn a_step_while_the_answer_was_on_its_way_counts() {
        let mut fence = Fence::new();
        fence.renew(sent(0), at_stepped(2, 60));
        assert!(!fence.admit(attempt(1), at_stepped(2, 60)));
    }

    #[test]
    fn a_new_heartbeat_after_the_step_gives_the_whole_lease_again() {
        let mut fence = Fence::new();
        fence.renew(sent(0), at_stepped(2, 60));
        let renewal = Renewal { sent_wall: at_stepped(3, 60).wall, ..sent(3) };
        assert!(fence.renew(renewal, at_stepped(3, 60)));
        assert!(fence.admit(attempt(1), at_stepped(3, 60)));
    }
}
