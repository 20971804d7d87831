//! The newest report of each attempt, until it is acknowledged.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_types::{Acknowledgement, AttemptKey, AttemptState, Report, Time};

/// Most reports in one message: at some 100 bytes each it stays far below the smallest limit on
/// messages.
const REPORTS_PER_MESSAGE: usize = 256;
/// An end that is not acknowledged for this long is sent again on the same stream: the master may
/// have dropped it from a full queue. A commit takes far less.
const REPEAT_AFTER: Duration = Duration::from_secs(15);

/// The newest report of each attempt. Their number is bounded by the attempts that the runner
/// knows.
#[derive(Debug, Default)]
pub(super) struct Reports {
    newest: BTreeMap<AttemptKey, PendingReport>,
}

#[derive(Debug)]
struct PendingReport {
    report: Report,
    sent: Option<Time>,
    acknowledged: bool,
}

impl Reports {
    /// Takes the runner's inventory in place of everything that was known.
    pub(super) fn replace(&mut self, now: Time, inventory: Vec<Report>) {
        self.newest = inventory
            .into_iter()
            .map(|report| (report.attempt, PendingReport { report, sent: Some(now), acknowledged: false }))
            .collect();
    }

    /// Takes a report that is newer than the known one. Returns whether it was.
    pub(super) fn take(&mut self, report: &Report) -> bool {
        if self.newest.get(&report.attempt).is_some_and(|known| known.report.sequence >= report.sequence) {
            return false;
        }
        self.newest.insert(report.attempt, PendingReport { report: report.clone(), sent: None, acknowledged: false });
        true
    }

    /// Marks reports as sent.
    pub(super) fn sent(&mut self, now: Time, reports: &[Report]) {
        for report in reports {
            if let Some(entry) = self.newest.get_mut(&report.attempt) {
                entry.sent = Some(now);
            }
        }
    }

    /// Takes an acknowledgement. One of another sequence than the newest changes nothing. Returns
    /// whether an end is now durable; the end is then forgotten here too.
    pub(super) fn acknowledge(&mut self, acknowledgement: &Acknowledgement) -> bool {
        let Some(entry) = self.newest.get_mut(&acknowledgement.attempt) else { return false };
        if entry.report.sequence != acknowledgement.sequence {
            return false;
        }
        entry.acknowledged = true;
        let ended = is_end(&entry.report);
        if ended {
            self.newest.remove(&acknowledgement.attempt);
        }
        ended
    }

    /// Ends that have waited for their acknowledgement for too long.
    pub(super) fn overdue(&self, now: Time) -> Vec<Report> {
        self.newest
            .values()
            .filter(|entry| !entry.acknowledged && is_end(&entry.report))
            .filter(|entry| entry.sent.is_some_and(|sent| now.since(sent) >= REPEAT_AFTER))
            .map(|entry| entry.report.clone())
            .collect()
    }

    /// Forgets everything: the runner is another one.
    pub(super) fn clear(&mut self) {
        self.newest.clear();
    }
}

/// Splits reports into messages of bounded size: at least one, which may be empty.
pub(super) fn in_messages(mut reports: Vec<Report>) -> Vec<Vec<Report>> {
    let mut messages = Vec::new();
    while reports.len() > REPORTS_PER_MESSAGE {
        let rest = reports.split_off(REPORTS_PER_MESSAGE);
        messages.push(std::mem::replace(&mut reports, rest));
    }
    messages.push(reports);
    messages
}

fn is_end(report: &Report) -> bool {
    matches!(report.state, AttemptState::Ended(_))
}
