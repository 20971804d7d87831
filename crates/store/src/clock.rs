//! The two clocks, read at the moment of use: a term's deadline is granted and compared by the same
//! one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use muster_types::{Time, WallTime};
use rustix::time::{ClockId, clock_gettime};

/// `CLOCK_BOOTTIME`: what deadlines are compared by, because it goes on while the machine sleeps.
pub fn boottime() -> Time {
    let reading = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(reading.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(reading.tv_nsec).unwrap_or(0);
    Time(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// The wall clock, for people.
pub fn wall() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    WallTime(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
