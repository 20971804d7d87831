//! The clocks and the randomness that pure code is given.

use muster_os::clock;
use muster_types::{Time, WallTime};

/// `CLOCK_BOOTTIME` now.
pub fn now() -> Time {
    Time(clock::boottime())
}

/// The wall clock now.
pub fn wall() -> WallTime {
    WallTime(clock::wall())
}

/// Fresh random bits. Without a source of them it falls back to the clock, which still spreads
/// reconnects.
pub fn entropy() -> u64 {
    getrandom::u64().unwrap_or_else(|_| now().0)
}
