//! Why something waits.

use muster_client::v1::PendingReason;

/// All that is known, one line per reason.
pub(crate) fn pending_lines(pending: &PendingReason) -> String {
    let mut lines: Vec<String> = pending
        .reasons
        .iter()
        .map(|reason| match (reason.message.as_str(), reason.workers) {
            ("", 0) => reason.reason.clone(),
            ("", 1) => format!("{} (1 worker)", reason.reason),
            ("", many) => format!("{} ({many} workers)", reason.reason),
            (message, _) => format!("{}: {message}", reason.reason),
        })
        .collect();
    if !pending.nearest_worker.is_empty() {
        lines.push(format!("nearest is {}: {}", pending.nearest_worker, pending.nearest_message));
    }
    if pending.never_fits {
        lines.push("no worker known could take it, even an empty one".into());
    }
    lines.join("\n")
}

/// The first reason in a few words.
pub(crate) fn pending_line(pending: &PendingReason) -> String {
    let first = pending.reasons.first().map(|reason| match reason.message.as_str() {
        "" => reason.reason.clone(),
        message => format!("{}: {message}", reason.reason),
    });
    first.unwrap_or_default()
}
