//! Finds workers that have been disconnected for longer than the worker timeout.

use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_core::Input;

use crate::clock;
use crate::leader::LeaderContext;

/// The longest pause between two checks of the table, a small part of the default worker timeout.
const MAX_SLEEP: Duration = Duration::from_millis(500);
/// A delay that a busy machine alone does not explain.
const LATE: Duration = Duration::from_millis(500);

/// Marks silent workers as lost in the table first, then tells the commit loop. Runs until the loop
/// is gone.
///
/// If this task was late, heartbeats may wait unread in sockets: every deadline moves by the delay,
/// and the heartbeats are read meanwhile.
pub(crate) async fn expire_silent(leading: Arc<LeaderContext>, wait: Duration) {
    loop {
        let due = leading.liveness().next_deadline(wait).map(|deadline| deadline.since(clock::boottime()));
        let pause = due.map_or(MAX_SLEEP, |due| due.clamp(Duration::from_millis(1), MAX_SLEEP));
        let wake = Instant::now() + pause;
        tokio::time::sleep(pause).await;
        let late = wake.elapsed();
        let lost = {
            let mut table = leading.liveness();
            if late >= LATE {
                tracing::warn!(late_ms = late.as_millis(), "expiry was late; nobody is blamed for it");
                table.extend_all(late);
            }
            table.expire(clock::boottime(), wait)
        };
        if lost.is_empty() {
            continue;
        }
        tracing::info!(workers = lost.len(), "workers not heard for the worker timeout are lost");
        if leading.inputs.links.send(Input::Expired(lost)).await.is_err() {
            return;
        }
    }
}
