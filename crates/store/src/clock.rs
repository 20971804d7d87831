//! The two clocks, read at the moment of use. Deadlines of terms are granted and compared by the
//! same clock.

use muster_os::clock;
use muster_types::{Time, WallTime};

/// The clock of deadlines.
pub fn boottime() -> Time {
    Time(clock::boottime())
}

/// The wall clock, for people.
pub fn wall() -> WallTime {
    WallTime(clock::wall())
}
