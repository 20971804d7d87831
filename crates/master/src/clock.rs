//! The two clocks, read at the moment of use.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use muster_store::Deadline;
use muster_types::{Now, Time, WallTime};
use rustix::time::{ClockId, clock_gettime};

/// `CLOCK_BOOTTIME`: the only clock that deadlines are compared by, because it goes on while the machine sleeps.
pub(crate) fn boottime() -> Time {
    let reading = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(reading.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(reading.tv_nsec).unwrap_or(0);
    Time(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// The wall clock, for people.
pub(crate) fn wall() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    WallTime(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Both, read together.
pub(crate) fn now() -> Now {
    Now { time: boottime(), wall: wall() }
}

/// A deadline without an end is looked at this often.
const LOOK: Duration = Duration::from_secs(60);

/// Ready once a term's time has passed: by the clock, never by a timer's firing.
pub(crate) async fn past(mut deadline: Deadline) {
    loop {
        let left = deadline.get().since(boottime());
        if left.is_zero() {
            return;
        }
        tokio::select! {
            () = deadline.ended() => return,
            () = tokio::time::sleep(left.min(LOOK)) => {}
        }
    }
}
