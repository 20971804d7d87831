//! Launches that were accepted on the present connection and are being prepared.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use muster_types::{AttemptKey, AttemptState, Launch, Report};

/// A start goes to the runner only while its attempt is listed here: the runner may have forgotten
/// an attempt that ended meanwhile, and would start it as if it were new.
#[derive(Debug, Default)]
pub(super) struct Pending {
    launches: BTreeMap<AttemptKey, PendingEntry>,
}

#[derive(Debug)]
struct PendingEntry {
    launch: Arc<Launch>,
    cancelled: Arc<AtomicBool>,
}

impl Pending {
    /// Adds an accepted launch. Its preparation checks the returned flag now and then.
    pub(super) fn begin(&mut self, launch: Arc<Launch>) -> Arc<AtomicBool> {
        let cancelled = Arc::new(AtomicBool::new(false));
        self.launches.insert(launch.attempt, PendingEntry { launch, cancelled: cancelled.clone() });
        cancelled
    }

    /// Whether it is being prepared.
    pub(super) fn contains(&self, attempt: &AttemptKey) -> bool {
        self.launches.contains_key(attempt)
    }

    /// Ends the preparation that was begun under this flag, whether it succeeded or failed. Returns
    /// the launch, unless it was cancelled.
    pub(super) fn finish(&mut self, attempt: &AttemptKey, begun: &Arc<AtomicBool>) -> Option<Arc<Launch>> {
        let current = self.launches.get(attempt).is_some_and(|entry| Arc::ptr_eq(&entry.cancelled, begun));
        if !current {
            return None;
        }
        self.launches.remove(attempt).map(|entry| entry.launch)
    }

    /// Cancels a launch that is no longer wanted.
    pub(super) fn cancel(&mut self, attempt: &AttemptKey) {
        if let Some(entry) = self.launches.remove(attempt) {
            entry.cancelled.store(true, Ordering::Relaxed);
        }
    }

    /// Takes a report: an attempt that has ended, or is being ended, is not started any more.
    pub(super) fn hear(&mut self, report: &Report) {
        if matches!(report.state, AttemptState::Ended(_) | AttemptState::Killing { .. }) {
            self.cancel(&report.attempt);
        }
    }
}

/// Everything that was accepted on a connection is void when it ends.
impl Drop for Pending {
    fn drop(&mut self) {
        for entry in self.launches.values() {
            entry.cancelled.store(true, Ordering::Relaxed);
        }
    }
}
