//! The two clocks, read at the moment of use.

use std::time::Duration;

use muster_store::Deadline;
pub(crate) use muster_store::clock::{boottime, wall};
use muster_types::Now;

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
