//! The lengths of time in the world, and what a seed chooses.

use std::time::Duration;

use muster_core::Config;

use super::rng::Rng;

/// Shorter than what ships, in the same proportions where these matter, so that more leases and
/// worker timeouts end in a thousand steps.
pub(super) const HEARTBEAT: Duration = Duration::from_millis(2500);
pub(super) const LEASE: Duration = Duration::from_secs(8);
pub(super) const STORE_LEASE: Duration = Duration::from_secs(3);
/// What clocks may differ by over a lease (twice 2 %), the time of a kill, and more.
pub(super) const MARGIN: Duration = Duration::from_secs(1);
pub(super) const WAIT: Duration = LEASE.saturating_add(STORE_LEASE).saturating_add(MARGIN);
/// A frozen attempt that is not confirmed within this time is killed.
pub(super) const FENCE_KILL_AFTER: Duration = Duration::from_secs(30);
/// A leader counts on this much less than the store's lease, since the store's clock may be faster
/// than its own.
pub(super) const STORE_MARGIN: Duration = Duration::from_millis(300);
/// Time between two keep-alives.
pub(super) const KEEP_ALIVE: Duration = Duration::from_millis(750);
/// If a call to the store has no answer within this time, its outcome is unknown.
pub(super) const STORE_PATIENCE: Duration = Duration::from_millis(1500);
/// The promised bound of drift, in millionths.
pub(super) const DRIFT: u64 = 20_000;
/// A drift far beyond the bound: within one lease it uses up what separates leases and worker
/// timeouts.
pub(super) const WILD_DRIFT: u64 = 400_000;

/// Settings of the core.
pub(super) fn config(launch_progress: Duration) -> Config {
    Config {
        wait: WAIT,
        launch_progress,
        // Only a few finished executors are kept. All drivers are kept, so that every promise can
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
    /// Average time between two faults.
    pub(super) fault_every: Duration,
    /// Average time between two actions of clients.
    pub(super) ask_every: Duration,
    /// How many of a thousand calls to the store are lost on the way there, lost on the way back,
    /// late, or doubled.
    pub(super) store_faults: u64,
    /// How long a launch may go without a report. The shortest is near to what a report takes, so
    /// that some launches are taken back as their processes start.
    pub(super) launch_progress: Duration,
}

impl Plan {
    pub(super) fn of(rng: &mut Rng) -> Plan {
        Plan {
            masters: 3,
            workers: 2 + rng.roll(3),
            fault_every: Duration::from_millis([400, 800, 1500, 3000][rng.roll(4)]),
            ask_every: Duration::from_millis([300, 700, 1200][rng.roll(3)]),
            store_faults: [0, 5, 15, 40][rng.roll(4)],
            launch_progress: Duration::from_millis([30_000, 30_000, 1_000, 60][rng.roll(4)]),
        }
    }
}
