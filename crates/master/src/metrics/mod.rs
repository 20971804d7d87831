//! What a master measures, and its page of metrics. `docs/metrics.md` lists all of it.
//!
//! Counters and histograms are atomics that the hot paths add to. Everything that is a state is
//! read at the scrape, from what readers are served of.

mod page;
mod waiting;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use muster_proto::server::CallMetrics;
use muster_proto::server::metrics::{AtomicHistogram, NUMBERS, SECONDS};
use muster_store::LeaderWatch;
use muster_tls::PlaintextConnections;
use muster_types::{Event, Outcome, Reason, Subject};

pub(crate) use page::MasterPages;

/// What is read again while a master runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reloaded {
    /// The access file.
    Access,
    /// The certificate of the operator's own.
    Certificate,
    /// The CAs of clients, and what they have revoked.
    ClientCa,
    /// The keys of the issuer of JWTs.
    Jwks,
    /// The cluster's CA.
    Ca,
}

impl Reloaded {
    pub(crate) const ALL: [Reloaded; 5] =
        [Reloaded::Access, Reloaded::Certificate, Reloaded::ClientCa, Reloaded::Jwks, Reloaded::Ca];

    /// Its word, as in the page of metrics and in logs.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Reloaded::Access => "access_file",
            Reloaded::Certificate => "certificate",
            Reloaded::ClientCa => "client_ca",
            Reloaded::Jwks => "jwks",
            Reloaded::Ca => "ca",
        }
    }
}

/// The counters of a process. They go on when it stops leading, and when it leads again.
#[derive(Debug)]
pub(crate) struct MasterMetrics {
    pub calls: Arc<CallMetrics>,
    /// From the sending of a transaction to its end, with all tries.
    pub commit_duration: AtomicHistogram,
    /// Writes of a transaction.
    pub commit_writes: AtomicHistogram,
    /// What the commit loop does between two waits.
    pub loop_turn: AtomicHistogram,
    /// From the win to the first answer.
    pub recovery: AtomicHistogram,
    /// Between two heartbeats of a worker, as they are read.
    pub heartbeat_interval: AtomicHistogram,
    /// Lines of the audit that could not be written.
    pub audit_lost: Arc<AtomicU64>,
    /// Connections in the clear that a transition to credentials takes.
    pub plaintext: PlaintextConnections,
    failovers: AtomicU64,
    reload_failures: [AtomicU64; Reloaded::ALL.len()],
    /// By kind (driver, executor), success and reason.
    attempts: [[[AtomicU64; Reason::ALL.len()]; 2]; 2],
}

impl Default for MasterMetrics {
    fn default() -> MasterMetrics {
        let seconds = || AtomicHistogram::of_seconds(SECONDS);
        MasterMetrics {
            calls: Arc::default(),
            commit_duration: seconds(),
            commit_writes: AtomicHistogram::of_numbers(NUMBERS),
            loop_turn: seconds(),
            recovery: seconds(),
            heartbeat_interval: seconds(),
            audit_lost: Arc::default(),
            plaintext: PlaintextConnections::default(),
            failovers: AtomicU64::new(0),
            reload_failures: Default::default(),
            attempts: Default::default(),
        }
    }
}

impl MasterMetrics {
    /// Counts the attempts whose ends are among the events of a commit.
    pub(crate) fn count_ends(&self, events: &[Event]) {
        for event in events {
            match &event.subject {
                Subject::Driver { outcome: Some(outcome), .. } => self.count_end(0, outcome),
                Subject::Executor { outcome: Some(outcome), state, .. } if state.is_terminal() => {
                    self.count_end(1, outcome);
                }
                _ => {}
            }
        }
    }

    fn count_end(&self, kind: usize, outcome: &Outcome) {
        self.attempts[kind][usize::from(outcome.is_success())][outcome.reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// What was to be read again could not be used.
    pub(crate) fn count_reload_failure(&self, what: Reloaded) {
        self.reload_failures[what as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often it could not.
    pub(crate) fn reload_failures(&self, what: Reloaded) -> u64 {
        self.reload_failures[what as usize].load(Ordering::Relaxed)
    }

    /// A heartbeat was read, so long after the one before.
    pub(crate) fn heard(&self, after_millis: u64) {
        self.heartbeat_interval.observe(Duration::from_millis(after_millis));
    }

    /// Counts the leaders that follow another one, this master included. Never ends.
    pub(crate) async fn watch_failovers(self: Arc<Self>, mut election: LeaderWatch) -> Infallible {
        let mut last = None;
        loop {
            if let Some(leader) = election.view().leader().map(|leader| leader.epoch.number()) {
                if last.is_some_and(|last| last < leader) {
                    self.failovers.fetch_add(1, Ordering::Relaxed);
                }
                last = last.max(Some(leader));
            }
            election.changed().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_place() {
        for (place, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place);
        }
    }
}
