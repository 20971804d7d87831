//! True time, which nobody in the world can read, and the clocks that its machines read instead.

use std::ops::Add;
use std::time::Duration;

use muster_types::{Now, Time, WallTime};

/// True time in nanoseconds since the world began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Instant(pub(super) u64);

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, length: Duration) -> Instant {
        Instant(self.0.saturating_add(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Instant {
    pub(super) fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

const MILLION: i128 = 1_000_000;
const WALL: u64 = 1_700_000_000_000;

/// A machine's clocks: they began at another moment and run a little faster or slower than true
/// time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    /// Reading of `CLOCK_BOOTTIME` at the beginning of the world.
    pub(super) offset: i128,
    /// Millionths by which it is faster than true time.
    pub(super) drift: i64,
}

impl Clock {
    pub(super) fn read(&self, at: Instant) -> Now {
        let run = i128::from(at.0) * (MILLION + i128::from(self.drift)) / MILLION;
        let time = u64::try_from(self.offset + run).unwrap_or(0);
        Now { time: Time(time), wall: WallTime(WALL + u64::try_from(run / MILLION).unwrap_or(0)) }
    }

    /// The machine boots: `CLOCK_BOOTTIME` begins anew.
    pub(super) fn boot(&mut self, at: Instant) {
        let run = i128::from(at.0) * (MILLION + i128::from(self.drift)) / MILLION;
        self.offset = 1_000_000_000 - run;
    }

    /// The first moment at which this clock shows at least that time.
    pub(super) fn when(&self, time: Time) -> Instant {
        let run = (i128::from(time.0) - self.offset).max(0);
        let rate = MILLION + i128::from(self.drift);
        Instant(u64::try_from((run * MILLION + rate - 1) / rate + 1).unwrap_or(u64::MAX))
    }
}
