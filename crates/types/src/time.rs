//! Two clocks that are never mixed: [`Time`] orders deadlines on one machine, [`WallTime`] is shown
//! to people.

use std::ops::{Add, Sub};
use std::time::Duration;

/// A reading of `CLOCK_BOOTTIME` on one machine, in nanoseconds. Never stored and never sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub u64);

impl Time {
    /// Time since `earlier`; zero if it is later.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    /// Saturates at the largest value, which no deadline reaches.
    fn add(self, length: Duration) -> Time {
        Time(self.0.saturating_add(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Time {
    type Output = Time;

    fn sub(self, length: Duration) -> Time {
        Time(self.0.saturating_sub(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Milliseconds since the Unix epoch by the wall clock, which may step. Stored and shown, never a
/// deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct WallTime(pub u64);

impl Add<Duration> for WallTime {
    type Output = WallTime;

    /// Saturates at the largest value.
    fn add(self, length: Duration) -> WallTime {
        WallTime(self.0.saturating_add(millis(length)))
    }
}

impl Sub<Duration> for WallTime {
    type Output = WallTime;

    /// Saturates at the beginning of time.
    fn sub(self, length: Duration) -> WallTime {
        WallTime(self.0.saturating_sub(millis(length)))
    }
}

/// Whole milliseconds; a fraction is dropped.
fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

/// Both clocks, read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// For deadlines.
    pub time: Time,
    /// For people.
    pub wall: WallTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_length_takes_a_wall_time_beyond_its_ends() {
        let noon = WallTime(5_000);
        assert_eq!(noon + Duration::from_micros(1_999), WallTime(5_001));
        assert_eq!(noon - Duration::from_secs(2), WallTime(3_000));
        assert_eq!((noon + Duration::MAX, noon - Duration::MAX), (WallTime(u64::MAX), WallTime(0)));
    }
}
