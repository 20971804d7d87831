//! Why a driver is on hold after a restore, and what ends that.

use muster_types::{AttemptKey, PendingCause, PendingReason};

use super::RestoreHold;
use crate::core::Core;
use crate::state::{Driver, Worker};

/// Most names in one sentence.
const NAMED: usize = 5;

impl Core {
    /// Why a held driver is not launched. Only the first cause that applies is given, because the
    /// next one matters only when the first is gone.
    pub(crate) fn explain_hold(&self, driver: &Driver) -> PendingReason {
        let mut causes = self.copies_of(driver);
        if causes.is_empty() {
            causes.push(self.explain_waiting(driver));
        }
        let causes = causes.into_iter().map(|(workers, sentence)| (PendingCause::Restored, workers, sentence));
        PendingReason { causes: causes.collect(), ..PendingReason::default() }
    }

    /// Its quarantined copies, each with the command that ends it.
    fn copies_of(&self, driver: &Driver) -> Vec<(u32, String)> {
        let uid = driver.record.uid;
        let is_copy = |key: &&AttemptKey| self.driver_behind(**key) == Some(uid);
        let of_worker = |worker: &Worker| {
            let name = worker.record.name.clone();
            let copies: Vec<_> =
                worker.quarantined.iter().filter(is_copy).map(|key| copy(key, name.as_str())).collect();
            copies
        };
        let can_run = |worker: &&Worker| !worker.record.lost || !driver.is_leased();
        let copies = self.workers.iter().filter(can_run).flat_map(of_worker);
        copies.take(NAMED).map(|sentence| (1, sentence)).collect()
    }

    fn explain_waiting(&self, driver: &Driver) -> (u32, String) {
        let awaited: Vec<&Worker> = self.workers.iter().filter(|worker| RestoreHold::is_awaited(worker)).collect();
        if !awaited.is_empty() {
            let sentence = format!("held since the store was restored, until these have reported: {}", names(&awaited));
            return (count(awaited.len()), sentence);
        }
        if !self.restore.waited {
            let wait = self.config.wait.as_secs();
            let sentence = format!("held since the store was restored, until this master has led for {wait} s");
            return (0, sentence);
        }
        let missing = self.workers.iter().filter(|worker| RestoreHold::is_missing(worker) && !driver.is_leased());
        let missing: Vec<&Worker> = missing.collect();
        let sentence = format!(
            "held since the store was restored: a copy may run on lost workers ({}); `muster worker forget` says that one never comes back",
            names(&missing)
        );
        (count(missing.len()), sentence)
    }
}

fn copy(key: &AttemptKey, worker: &str) -> String {
    format!(
        "held since the store was restored: {worker} runs {key}, which no record names; `muster worker end-quarantined {worker} {key}` ends it"
    )
}

fn names(workers: &[&Worker]) -> String {
    let mut names: Vec<&str> = workers.iter().take(NAMED).map(|worker| worker.record.name.as_str()).collect();
    if workers.len() > NAMED {
        names.push("…");
    }
    names.join(", ")
}

fn count(workers: usize) -> u32 {
    u32::try_from(workers).unwrap_or(u32::MAX)
}
