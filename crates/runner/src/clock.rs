//! Both clocks, read at the moment of use.

use muster_types::{Now, Time, WallTime};
use rustix::time::{ClockId, Timespec, clock_gettime};

pub(crate) fn now() -> Now {
    Now { time: Time(nanos(clock_gettime(ClockId::Boottime))), wall: wall() }
}

pub(crate) fn wall() -> WallTime {
    WallTime(nanos(clock_gettime(ClockId::Realtime)) / 1_000_000)
}

pub(crate) fn timespec(time: Time) -> Timespec {
    Timespec { tv_sec: (time.0 / 1_000_000_000).cast_signed(), tv_nsec: (time.0 % 1_000_000_000).cast_signed() }
}

fn nanos(time: Timespec) -> u64 {
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}
