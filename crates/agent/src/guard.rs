//! The guard's decision: whether the brake on everything leased is open, by what the runner has
//! written and by the clocks.
//!
//! All leased trees of a worker lie in one group of processes, which only the guard freezes and
//! thaws: the **brake**. The runner has a brake of its own on each tree, and a leased tree executes
//! only while both are open. The runner writes, into memory that both see, the number of its
//! lease's term (see [`crate::fence`]), the newest renewal, and the newest term of which it has
//! stopped everything by itself. From that the guard decides without any memory of its own:
//!
//! - what was admitted in a term that has ended must be stopped by the runner, or the brake is
//!   closed;
//! - what was admitted in the present term needs its lease to stand, or the runner to have stopped
//!   it, or the brake is closed.
//!
//! So a runner that does its work in time never sees the brake close, no renewal opens it for what
//! lay under an older term, and a runner that thaws something too late, because it was stopped
//! between looking at the clock and acting, finds the guard's brake closed.

use std::time::Duration;

use muster_types::{Now, Time};

use crate::fence::Lease;
use crate::runner_protocol::Renewal;

/// How long after the lease's end the runner has to stop everything by itself. It needs a few
/// milliseconds; every lease ends two seconds before anything runs elsewhere.
pub const DELAY: Duration = Duration::from_millis(100);

/// What is not frozen this long after the brake was closed is killed: one of its processes waits in
/// the kernel.
const FREEZE_LIMIT: Duration = Duration::from_millis(500);

/// Between looks while something is not as it should be.
const LOOK: Duration = Duration::from_millis(10);

/// Between kills of what does not end.
const KILL_AGAIN: Duration = Duration::from_millis(250);

/// What the runner has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Written {
    /// Number of the lease's term.
    pub term: u64,
    /// The newest renewal.
    pub renewal: Renewal,
    /// The newest term of which the runner has stopped everything that it admitted, and will let
    /// nothing of it go on before it has written a later term.
    pub stopped: u64,
}

/// What is to be done with everything leased at once. Each is to be repeated as long as it is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GuardEffect {
    /// The brake is open.
    Open,
    /// The brake is closed: nothing leased executes.
    Freeze,
    /// The brake is closed, and what does not freeze is killed.
    KillUnfrozen,
    /// The brake is closed, and everything is killed.
    KillAll,
}

/// What is to be done, and when to look again if nobody wakes the guard before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// What.
    pub effect: GuardEffect,
    /// When.
    pub next: Option<Time>,
}

/// The guard's decisions.
#[derive(Debug, Clone, Hash)]
pub struct Guard {
    /// How long what is frozen waits for its runner; zero kills at once.
    kill_after: Duration,
    known: Option<Known>,
    closed: Option<Time>,
}

#[derive(Debug, Clone, Copy, Hash)]
struct Known {
    term: u64,
    stopped: u64,
    lease: Lease,
}

impl Guard {
    /// Knows nothing; the brake is open, since nothing leased starts before the first renewal.
    pub fn new(kill_after: Duration) -> Guard {
        Guard { kill_after, known: None, closed: None }
    }

    /// When the renewal that it goes by was sent.
    pub fn seen(&self) -> Option<Time> {
        self.known.map(|known| known.lease.renewal.sent)
    }

    /// Decides. `written` is `None` if it cannot be read, because the runner was stopped while it
    /// wrote, or does not add up: then what was known before counts, and that ends by itself.
    /// `is_frozen` says whether nothing leased executes.
    pub fn look(&mut self, written: Option<Written>, is_frozen: bool, now: Now) -> Decision {
        if let Some(written) = written {
            self.take(written, now);
        }
        let Some(known) = &mut self.known else { return Decision { effect: GuardEffect::Open, next: None } };
        known.lease.observe(now);
        let due = known.lease.end() + DELAY;
        let is_stopped = known.stopped >= known.term;
        if is_stopped || (known.stopped + 1 == known.term && now.time < due) {
            self.closed = None;
            return Decision { effect: GuardEffect::Open, next: if is_stopped { None } else { Some(due) } };
        }
        let closed = *self.closed.get_or_insert(now.time);
        let kill_at = closed + self.kill_after;
        let (effect, next) = if now.time >= kill_at {
            (GuardEffect::KillAll, now.time + KILL_AGAIN)
        } else if is_frozen {
            (GuardEffect::Freeze, kill_at)
        } else if now.time >= closed + FREEZE_LIMIT {
            (GuardEffect::KillUnfrozen, now.time + LOOK)
        } else {
            (GuardEffect::Freeze, now.time + LOOK)
        };
        Decision { effect, next: Some(next) }
    }

    /// What cannot be, changes nothing: a term that goes back, a statement about a term that never
    /// was, a renewal from the future.
    fn take(&mut self, written: Written, now: Now) {
        let Written { term, renewal, stopped } = written;
        let goes_back = self.known.is_some_and(|known| {
            term < known.term || stopped < known.stopped || renewal.sent < known.lease.renewal.sent
        });
        if goes_back || stopped > term || term == 0 || renewal.sent > now.time {
            return;
        }
        match &mut self.known {
            Some(known) if known.lease.renewal == renewal => (known.term, known.stopped) = (term, stopped),
            known => *known = Some(Known { term, stopped, lease: Lease::new(renewal) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use muster_types::WallTime;

    use super::*;

    const LEASE: u64 = 45;
    const PATIENCE: Duration = Duration::from_secs(600);

    fn at_ms(millis: u64) -> Now {
        Now { time: Time(millis * 1_000_000), wall: WallTime(1_700_000_000_000 + millis) }
    }

    fn at(seconds: u64) -> Now {
        at_ms(seconds * 1000)
    }

    fn written(term: u64, sent: u64, stopped: u64) -> Option<Written> {
        let Now { time, wall } = at(sent);
        let renewal = Renewal { sent: time, sent_wall: wall, lease: Duration::from_secs(LEASE) };
        Some(Written { term, renewal, stopped })
    }

    fn guard() -> Guard {
        Guard::new(PATIENCE)
    }

    #[test]
    fn before_the_first_renewal_there_is_nothing_to_stop() {
        let decision = guard().look(None, false, at(1000));
        assert_eq!(decision, Decision { effect: GuardEffect::Open, next: None });
    }

    #[test]
    fn a_runner_that_is_silent_at_the_leases_end_is_stood_in_for() {
        let mut guard = guard();
        let due = at_ms(45_100).time;
        assert_eq!(guard.look(written(1, 0, 0), false, at(1)), Decision { effect: GuardEffect::Open, next: Some(due) });
        assert_eq!(guard.look(written(1, 0, 0), false, at_ms(45_099)).effect, GuardEffect::Open);
        assert_eq!(guard.look(written(1, 0, 0), false, at_ms(45_100)).effect, GuardEffect::Freeze);
    }

    #[test]
    fn a_runner_that_has_stopped_everything_by_itself_is_left_alone() {
        let mut guard = guard();
        guard.look(written(1, 0, 0), false, at(1));
        assert_eq!(guard.look(written(1, 0, 1), false, at(46)), Decision { effect: GuardEffect::Open, next: None });
    }

    #[test]
    fn a_renewal_without_a_gap_goes_on_and_even_opens_again() {
        let mut guard = guard();
        guard.look(written(1, 0, 0), false, at(1));
        assert_eq!(guard.look(written(1, 0, 0), false, at(46)).effect, GuardEffect::Freeze);
        assert_eq!(guard.look(written(1, 40, 0), true, at(47)).effect, GuardEffect::Open);
        assert_eq!(guard.look(written(1, 40, 0), false, at(86)).effect, GuardEffect::Freeze);
    }

    #[test]
    fn no_new_term_opens_for_what_lay_under_the_last_one() {
        let mut guard = guard();
        guard.look(written(1, 0, 0), false, at(1));
        guard.look(written(1, 0, 0), false, at(46));
        assert_eq!(guard.look(written(2, 60, 0), true, at(61)).effect, GuardEffect::Freeze);
        assert_eq!(guard.look(written(2, 60, 1), true, at(61)).effect, GuardEffect::Open);
    }

    #[test]
    fn a_gap_that_the_guard_slept_through_closes_at_once() {
        let mut guard = guard();
        guard.look(written(1, 0, 0), false, at(1));
        assert_eq!(guard.look(written(2, 60, 0), false, at(61)).effect, GuardEffect::Freeze);
    }

    #[test]
    fn a_thaw_that_comes_too_late_finds_the_brake_closed() {
        let mut guard = guard();
        guard.look(written(1, 0, 1), false, at(46));
        assert_eq!(guard.look(written(2, 50, 1), false, at(51)).effect, GuardEffect::Open);
        // The runner looked at the clock before 95 and thaws after it, without having said that it
        // stopped what is of the second term.
        assert_eq!(guard.look(written(2, 50, 1), false, at(96)).effect, GuardEffect::Freeze);
    }

    #[test]
    fn what_does_not_freeze_is_killed_and_so_is_what_nobody_comes_for() {
        let mut guard = guard();
        guard.look(written(1, 0, 0), false, at(1));
        assert_eq!(guard.look(written(1, 0, 0), false, at(46)).next, Some(at_ms(46_010).time));
        assert_eq!(guard.look(written(1, 0, 0), false, at_ms(46_500)).effect, GuardEffect::KillUnfrozen);
        let frozen = guard.look(written(1, 0, 0), true, at(47));
        assert_eq!(frozen, Decision { effect: GuardEffect::Freeze, next: Some(at(646).time) });
        assert_eq!(guard.look(written(1, 0, 0), true, at(646)).effect, GuardEffect::KillAll);
        let mut hasty = Guard::new(Duration::ZERO);
        hasty.look(written(1, 0, 0), false, at(1));
        assert_eq!(hasty.look(written(1, 0, 0), false, at(46)).effect, GuardEffect::KillAll);
    }

    #[test]
    fn what_cannot_be_read_or_cannot_be_leaves_the_old_lease_to_end() {
        let nonsense = [None, written(0, 40, 0), written(1, 40, 2), written(1, 900, 0), written(0, 0, 0)];
        for unreadable in nonsense {
            let mut guard = guard();
            guard.look(written(1, 1, 0), false, at(1));
            assert_eq!(guard.look(unreadable, false, at(45)).effect, GuardEffect::Open, "{unreadable:?}");
            assert_eq!(guard.look(unreadable, false, at(47)).effect, GuardEffect::Freeze, "{unreadable:?}");
        }
    }

    #[test]
    fn a_forward_step_of_the_wall_clock_shortens_the_lease_here_too() {
        let mut guard = guard();
        guard.look(written(1, 0, 0), false, at(1));
        let stepped = Now { wall: WallTime(at(46).wall.0), ..at(2) };
        guard.look(written(1, 0, 0), false, stepped);
        assert_eq!(guard.look(written(1, 0, 0), false, stepped).effect, GuardEffect::Freeze);
    }
}
