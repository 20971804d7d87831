//! What is done from time to time: logs bounded, old things removed.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use muster_agent::runner_protocol::KillReason;
use muster_types::AttemptKey;
use tokio::time::MissedTickBehavior;

use crate::attempts::{Attempts, KnownAttempt};
use crate::config::WorkerRetention;
use crate::launch::{AttemptDirectories, in_one_line};
use crate::logs::{STREAMS, Truncations, bound, remove_old_logs};
use crate::runner::{RunnerOrder, RunnerOrders};

/// Time between two looks at the logs of what runs. A program that writes 1 GB/s is over its bound
/// by that much.
const LOOK: Duration = Duration::from_secs(1);

/// What the janitor works with.
#[derive(Debug, Clone)]
pub struct Janitor {
    /// What runs.
    pub attempts: Attempts,
    /// Where things are.
    pub layout: Arc<AttemptDirectories>,
    /// Counts of truncations.
    pub truncations: Arc<Truncations>,
    /// To end what writes too much where logs cannot be bounded.
    pub orders: RunnerOrders,
    /// What is kept.
    pub retention: WorkerRetention,
    /// Whether logs are bounded in place.
    pub punch_hole: bool,
}

impl Janitor {
    /// Bounds the logs of what runs, for ever.
    pub async fn bound_logs(self) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            let running = self.attempts.running();
            if running.is_empty() {
                continue;
            }
            let janitor = self.clone();
            // Only the end of the program ends it early.
            let _ = tokio::task::spawn_blocking(move || running.iter().for_each(|known| janitor.bound_logs_of(known)))
                .await;
        }
    }

    fn bound_logs_of(&self, known: &KnownAttempt) {
        let attempt = known.report.attempt;
        let limit = known.facts.log_limit;
        let directory = self.layout.log_dir(&attempt);
        for stream in STREAMS {
            let path = directory.join(stream);
            match bound(&path, limit, self.punch_hole) {
                Ok(size) => {
                    self.truncations.observe(&path, size);
                    if !self.punch_hole && limit > 0 && size > limit {
                        tracing::warn!(%attempt, stream, size, limit, "the output exceeds its bound");
                        // One that finds no room is given again at the next look.
                        let _ = self.orders.give(RunnerOrder::End(attempt, KillReason::LogLimit));
                    }
                }
                Err(error) => tracing::warn!(%attempt, error = in_one_line(&error), "log is not bounded"),
            }
        }
    }

    /// Removes what is old, for ever.
    pub async fn clean(self) {
        let mut pass = tokio::time::interval(self.retention.interval);
        pass.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first pass waits: what runs must be known first.
        pass.tick().await;
        loop {
            pass.tick().await;
            let janitor = self.clone();
            let _ = tokio::task::spawn_blocking(move || janitor.clean_once(SystemTime::now())).await;
        }
    }

    fn clean_once(&self, now: SystemTime) {
        let WorkerRetention { work_age, log_age, log_bytes, .. } = self.retention;
        let directories = self.layout.directories();
        let may_run = |attempt: &AttemptKey| self.attempts.may_run(attempt);
        tell("logs", remove_old_logs(&directories.logs, log_age, log_bytes, now, may_run));
        tell("work directories", remove_old(&directories.work, work_age, now, |name| self.may_go(name)));
        tell("cached artifacts", remove_old(&directories.cache, work_age, now, |_| true));
    }

    /// Whether a directory of the work directory belongs to nothing that runs. What is not ours
    /// stays.
    fn may_go(&self, name: &str) -> bool {
        if let Ok(attempt) = name.parse::<AttemptKey>() {
            return !self.attempts.may_run(&attempt);
        }
        let application = name.strip_prefix("scratch-").and_then(|uid| uid.parse().ok());
        application.is_some_and(|application| !self.attempts.has_executor_of(application))
    }
}

fn tell(what: &str, removed: io::Result<usize>) {
    match removed {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, what, "removed what is old"),
        Err(error) => tracing::warn!(%error, what, "cannot clean up"),
    }
}

/// Removes entries of a directory that may go and hold nothing newer than `age`.
fn remove_old(root: &Path, age: Duration, now: SystemTime, may_go: impl Fn(&str) -> bool) -> io::Result<usize> {
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry?;
        if !entry.file_name().to_str().is_some_and(&may_go) {
            continue;
        }
        let path = entry.path();
        if is_older(&path, age, now)? {
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(&path)?
            } else {
                fs::remove_file(&path)?
            }
            removed += 1;
        }
    }
    Ok(removed)
}

/// Whether nothing in it, itself included, was modified within `age`.
fn is_older(path: &Path, age: Duration, now: SystemTime) -> io::Result<bool> {
    let metadata = fs::symlink_metadata(path)?;
    if now.duration_since(metadata.modified()?).is_ok_and(|since| since < age) || metadata.modified()? > now {
        return Ok(false);
    }
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            if !is_older(&entry?.path(), age, now)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_old_goes_unless_something_in_it_is_new_or_it_must_stay() {
        let root = tempfile::tempdir().expect("a directory");
        let later = SystemTime::now() + Duration::from_secs(3_600);
        for name in ["old", "kept", "new"] {
            fs::create_dir(root.path().join(name)).expect("made");
        }
        let file = fs::File::create(root.path().join("new/file")).expect("made");
        file.set_modified(later - Duration::from_secs(1)).expect("dated");
        let age = Duration::from_secs(60);
        assert_eq!(remove_old(root.path(), age, later, |name| name != "kept").expect("done"), 1);
        assert!(!root.path().join("old").exists());
        assert!(root.path().join("kept").exists() && root.path().join("new").exists());
    }
}
