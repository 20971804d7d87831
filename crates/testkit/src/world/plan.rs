//! The lengths of the world, and what a seed chooses of it.

use std::time::Duration;

use muster_core::Config;

use super::rng::Rng;

/// Shorter than what ships, in the same proportions that matter: so that more of leases and waits
/// happens in a thousand steps.
pub(super) const HEARTBEAT: Duration = Duration::from_millis(2500);
pub(super) const LEASE: Duration = Duration::from_secs(8);
pub(super) const STORE_LEASE: Duration = Duration::from_secs(3);
/// What clocks may differ by over a lease (twice 2 %), what a kill takes, and more.
pub(super) const MARGIN: Duration = Duration::from_secs(1);
pub(super) const WAIT: Duration = LEASE.saturating_add(STORE_LEASE).saturating_add(MARGIN);
/// What stands frozen and is not confirmed by then is killed.
pub(super) const FENCE_KILL_AFTER: Duration = Duration::from_secs(30);
/// A leader counts this much less than the store's lease: the store's clock may be faster than its
/// own.
pub(super) const STORE_MARGIN: Duration = Duration::from_millis(300);
/// Between two keep-alives.
pub(super) const KEEP_ALIVE: Duration = Duration::from_millis(750);
/// Without an answer by then, the outcome of a call to the store is unknown.
pub(super) const STORE_PATIENCE: Duration = Duration::from_millis(1500);
/// The bound of drift that is promised, in millionths.
pub(super) const DRIFT: u64 = 20_000;
/// One far beyond it: what leases and waits are apart by is used up within one of them.
pub(super) const WILD_DRIFT: u64 = 400_000;

/// Settings of the core.
pub(super) fn config() -> Config {
    Config {
        wait: WAIT,
        launch_progress: Duration::from_secs(30),
        // A few finished executors are compacted away; drivers are kept, so that every promise can
        // be checked at the end.
        kept_executors: 4,
        ..Config::default()
    }
}

/// What a seed chooses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) masters: usize,
    pub(super) workers: usize,
    /// Between two faults, on average.
    pub(super) fault_every: Duration,
    /// Between two things that clients do, on average.
    pub(super) ask_every: Duration,
    /// Calls to the store, of a thousand, that are lost on the way there, on the way back, late, or
    /// doubled.
    pub(super) store_faults: u64,
}

impl Plan {
    pub(super) fn of(rng: &mut Rng) -> Plan {
        Plan {
            masters: 3,
            workers: 2 + rng.roll(3),
            fault_every: Duration::from_millis([400, 800, 1500, 3000][rng.roll(4)]),
            ask_every: Duration::from_millis([300, 700, 1200][rng.roll(3)]),
            store_faults: [0, 5, 15, 40][rng.roll(4)],
        }
    }
}
