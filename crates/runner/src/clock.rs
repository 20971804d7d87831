//! Both clocks, read at the moment of use.

use muster_os::clock;
use muster_types::{Now, Time, WallTime};
use rustix::time::Timespec;

pub(crate) fn now() -> Now {
    Now { time: Time(clock::boottime()), wall: wall() }
}

pub(crate) fn wall() -> WallTime {
    WallTime(clock::wall())
}

pub(crate) fn timespec(time: Time) -> Timespec {
    Timespec { tv_sec: (time.0 / 1_000_000_000).cast_signed(), tv_nsec: (time.0 % 1_000_000_000).cast_signed() }
}
