//! The boot-time clock and the wall clock, read at the moment of use.

use std::time::Duration;

use muster_store::Deadline;
pub(crate) use muster_store::clock::{boottime, wall};
use muster_types::Now;

/// Both clocks, read together.
pub(crate) fn now() -> Now {
    Now { time: boottime(), wall: wall() }
}

/// The longest pause between two checks of a deadline.
const LOOK: Duration = Duration::from_secs(60);

/// Ready once the deadline of a term has passed. The clock decides, because a timer may fire late.
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
