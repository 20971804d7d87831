//! Keeps parts running: one that dies is started again, later each time.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use super::backoff::RestartBackoff;
use super::daemon::{DaemonSpec, RunningDaemon};
use super::layout::ClusterLayout;
use super::logs;
use crate::output::{length, tell};

/// How often logs are looked at.
const LOG_CHECK: Duration = Duration::from_secs(5);

/// Parts that are kept running.
#[derive(Debug)]
pub(crate) struct KeptDaemons {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl KeptDaemons {
    pub(crate) fn new() -> KeptDaemons {
        KeptDaemons { stop: watch::Sender::new(false), tasks: JoinSet::new() }
    }

    /// Keeps a part running.
    pub(crate) fn keep(&mut self, part: DaemonSpec, running: RunningDaemon) {
        self.tasks.spawn(keep(part, running, self.stop.subscribe()));
    }

    /// Shuts all of them down and waits for that.
    pub(crate) async fn end(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn keep(part: DaemonSpec, mut running: RunningDaemon, mut stop: watch::Receiver<bool>) {
    let mut backoff = RestartBackoff::default();
    loop {
        let status = tokio::select! {
            status = running.ended() => Some(status),
            () = stopped(&mut stop) => None,
        };
        let Some(status) = status else { break running.end().await };
        let how = status.map_or_else(|| "unknown".to_owned(), |status| status.to_string());
        let words = part.last_errors(&running);
        let mut delay = backoff.after(running.since.elapsed());
        tell(&format!("{} ended ({how}); it is started again in {}{}", part.name, length(delay), said(&words)));
        running = loop {
            tokio::select! {
                () = sleep(delay) => {}
                () = stopped(&mut stop) => return part.forget(),
            }
            match part.start() {
                Ok(running) => break running,
                Err(error) => {
                    delay = backoff.after(Duration::ZERO);
                    tell(&format!(
                        "{} cannot be started again: {error}; the next try is in {}",
                        part.name,
                        length(delay)
                    ));
                }
            }
        };
    }
    part.forget();
}

/// Waits for the request to stop; a dropped `KeptDaemons` counts as one.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The last errors of its log, for people.
fn said(words: &str) -> String {
    if words.is_empty() {
        return String::new();
    }
    let lines: String = words.lines().map(|line| format!("\n    {line}")).collect();
    format!("; it said:{lines}")
}

/// Keeps the logs within their bound, for ever.
pub(crate) async fn bound_logs(layout: ClusterLayout, names: Vec<String>) {
    let mut ticks = interval(LOG_CHECK);
    loop {
        ticks.tick().await;
        for name in &names {
            // A log that cannot be bounded now is tried again later; a missing log does no harm.
            let _ = logs::bound(&layout.log(name));
        }
    }
}
