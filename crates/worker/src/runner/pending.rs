//! Launches that are accepted and being prepared, on the present connection.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use muster_types::{AttemptKey, AttemptState, Launch, Report};

/// A start goes to the runner only while its attempt is here: one that was ended meanwhile may have
/// been forgotten by the runner, and would be started as if it were new.
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
    /// A launch was accepted. What prepares it looks at the flag now and then.
    pub(super) fn begin(&mut self, launch: Arc<Launch>) -> Arc<AtomicBool> {
        let cancelled = Arc::new(AtomicBool::new(false));
        self.launches.insert(launch.attempt, PendingEntry { launch, cancelled: cancelled.clone() });
        cancelled
    }

    /// Whether it is being prepared.
    pub(super) fn contains(&self, attempt: &AttemptKey) -> bool {
        self.launches.contains_key(attempt)
    }

    /// What was begun under this flag is prepared, or has failed to be: answers the launch, unless
    /// it was cancelled.
    pub(super) fn finish(&mut self, attempt: &AttemptKey, begun: &Arc<AtomicBool>) -> Option<Arc<Launch>> {
        let current = self.launches.get(attempt).is_some_and(|entry| Arc::ptr_eq(&entry.cancelled, begun));
        if !current {
            return None;
        }
        self.launches.remove(attempt).map(|entry| entry.launch)
    }

    /// It is not wanted any more.
    pub(super) fn cancel(&mut self, attempt: &AttemptKey) {
        if let Some(entry) = self.launches.remove(attempt) {
            entry.cancelled.store(true, Ordering::Relaxed);
        }
    }

    /// The runner says where an attempt stands: one that has ended is not started any more.
    pub(super) fn hear(&mut self, report: &Report) {
        if matches!(report.state, AttemptState::Ended(_) | AttemptState::Killing { .. }) {
            self.cancel(&report.attempt);
        }
    }
}

/// With the connection goes everything that was accepted on it.
impl Drop for Pending {
    fn drop(&mut self) {
        for entry in self.launches.values() {
            entry.cancelled.store(true, Ordering::Relaxed);
        }
    }
}
