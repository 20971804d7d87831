//! The clocks and the randomness that pure code is given.

use std::time::{SystemTime, UNIX_EPOCH};

use muster_types::{Time, WallTime};
use rustix::time::{ClockId, clock_gettime};

/// CLOCK_BOOTTIME now: it goes on while the machine is suspended.
pub fn now() -> Time {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    Time(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// The wall clock now.
pub fn wall() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Fresh random bits. Without a source of them it falls back to the clock, which still spreads
/// reconnects.
pub fn entropy() -> u64 {
    getrandom::u64().unwrap_or_else(|_| now().0)
}
