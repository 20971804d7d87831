//! The two clocks, read at the moment of use: a term's deadline is granted and compared by the same
//! one.

use muster_os::clock;
use muster_types::{Time, WallTime};

/// What deadlines are compared by.
pub fn boottime() -> Time {
    Time(clock::boottime())
}

/// The wall clock, for people.
pub fn wall() -> WallTime {
    WallTime(clock::wall())
}
