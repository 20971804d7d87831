//! What happens to jobs, for anyone who watches, and as bars on a terminal.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

/// Something that happened. A watcher who is 1,024 events behind misses the oldest.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskEvent {
    /// A job was submitted.
    JobStarted {
        /// The job.
        job: u64,
        /// Its name, for people.
        name: Arc<str>,
        /// Tasks of its stage.
        tasks: u32,
    },
    /// Where a job is; ten times a second at most.
    JobProgressed {
        /// The job.
        job: u64,
        /// Tasks that have succeeded.
        done: u32,
        /// Attempts that run, or were sent ahead.
        running: u32,
        /// Attempts that have failed.
        failed: u32,
    },
    /// A job has ended.
    JobEnded {
        /// The job.
        job: u64,
        /// What went wrong, unless it succeeded.
        error: Option<String>,
    },
    /// An attempt has failed. Its task may be tried again.
    AttemptFailed {
        /// The job.
        job: u64,
        /// The partition.
        partition: u32,
        /// The executor.
        executor: u32,
        /// What went wrong.
        cause: String,
    },
    /// An executor may be given tasks.
    ExecutorAdded {
        /// The executor.
        executor: u32,
        /// Its cores.
        cores: u32,
    },
    /// An executor is gone.
    ExecutorRemoved {
        /// The executor.
        executor: u32,
        /// What became of it.
        cause: String,
    },
    /// The cluster has too few executors for what was asked for, and says this.
    ExecutorsPending {
        /// How many are missing.
        missing: u32,
        /// What it says.
        reason: String,
    },
}

/// Shows bars on standard error, if that is a terminal, until the events end.
pub(crate) async fn show(mut events: Receiver<TaskEvent>) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let shown = MultiProgress::new();
    let style = ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} {msg}").ok();
    let mut bars: BTreeMap<u64, ProgressBar> = BTreeMap::new();
    loop {
        match events.recv().await {
            Ok(TaskEvent::JobStarted { job, name, tasks }) if tasks > 1 => {
                let bar = shown.add(ProgressBar::new(u64::from(tasks)).with_prefix(name.to_string()));
                if let Some(style) = &style {
                    bar.set_style(style.clone());
                }
                bar.enable_steady_tick(Duration::from_millis(200));
                bars.insert(job, bar);
            }
            Ok(TaskEvent::JobProgressed { job, done, running, failed }) => {
                if let Some(bar) = bars.get(&job) {
                    bar.set_position(u64::from(done));
                    let failed = if failed == 0 { String::new() } else { format!(", {failed} failed") };
                    bar.set_message(format!("{running} running{failed}"));
                }
            }
            Ok(TaskEvent::JobEnded { job, error }) => match (bars.remove(&job), error) {
                (Some(bar), None) => bar.finish(),
                (Some(bar), Some(_)) => bar.abandon_with_message("failed"),
                (None, _) => {}
            },
            Ok(TaskEvent::ExecutorsPending { missing, reason }) => {
                // An error means that nobody looks.
                let _ = shown.println(format!("{missing} executors wait: {reason}"));
            }
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}
