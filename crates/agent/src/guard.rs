//! The guard's decision: whether the brake on everything leased is open. It follows from what the
//! runner has written and from the clocks.
//!
//! All leased trees of a worker lie in one group of processes, which only the guard freezes and
//! thaws: the **brake**. The runner has a brake of its own on each tree, and a leased tree executes
//! only while both are open. The runner writes, into memory that both see, the number of its
//! lease's term (see [`crate::fence`]), the newest renewal, and the newest term whose attempts it
//! has all stopped by itself. From these the guard decides:
//!
//! - unless the runner has stopped everything of the terms that have ended, the brake is closed;
//! - unless the lease of the present term stands, or the runner has stopped everything of that term
//!   too, the brake is closed.
//!
//! So the brake never closes on a runner that does its work in time, and no renewal opens it for
//! attempts of an older term. A runner that thaws a tree too late, because it was stopped between
//! reading the clock and acting, finds the guard's brake closed.

use std::time::Duration;

use muster_types::{Now, Time};

use crate::fence::Lease;
use crate::runner_protocol::Renewal;

/// How long after the lease's end the runner has to stop everything by itself. It needs a few
/// milliseconds; every lease ends two seconds before anything runs elsewhere.
pub const DELAY: Duration = Duration::from_millis(100);

/// How long the brake may take to close. What is not frozen by then is killed: one of its processes
/// waits in the kernel.
const FREEZE_LIMIT: Duration = Duration::from_millis(500);

/// Time between two looks while something executes that should be frozen.
const LOOK: Duration = Duration::from_millis(10);

/// Time between two kills of processes that do not end.
const KILL_AGAIN: Duration = Duration::from_millis(250);

/// What the runner has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Written {
    /// Number of the lease's term.
    pub term: u64,
    /// The newest renewal.
    pub renewal: Renewal,
    /// The newest term whose attempts the runner has all stopped. None of them goes on before the
    /// runner has written a later term.
    pub stopped: u64,
}

/// What is to be done with all leased trees at once. Each look repeats it, even if it is unchanged.
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

/// What is to be done, and when the guard must look again if nothing wakes it before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// What is to be done now.
    pub effect: GuardEffect,
    /// When to look again; `None` if only something newly written can change the decision.
    pub next: Option<Time>,
}

/// The guard's decisions.
#[derive(Debug, Clone, Hash)]
pub struct Guard {
    /// How long the brake may stay closed before everything is killed; zero kills at once.
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
    /// A guard that knows nothing. The brake is open, since nothing leased starts before the first
    /// renewal.
    pub fn new(kill_after: Duration) -> Guard {
        Guard { kill_after, known: None, closed: None }
    }

    /// The sending time of the renewal that the guard goes by.
    pub fn seen(&self) -> Option<Time> {
        self.known.map(|known| known.lease.renewal.sent)
    }

    /// Decides. `written` is `None` if it cannot be read or is inconsistent, because the runner was
    /// stopped while it wrote. The guard then goes by what it knew before, and that lease ends by
    /// itself. `is_frozen` says whether nothing leased executes.
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

    /// Ignores what is impossible: a term that goes back, a stopped term that never began, a
    /// renewal from the future.
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
        // The runner read the clock before 95 and thaws after that, without having written that it
        // stopped the attempts of the second term.
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
