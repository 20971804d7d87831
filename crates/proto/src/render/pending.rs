//! Why something waits.

use muster_types::PendingReason;

use crate::v1;

/// Why something waits, on the wire.
pub fn pending(reason: &PendingReason) -> v1::PendingReason {
    let (nearest_worker, nearest_message) = match &reason.nearest {
        Some((worker, lacks)) => (worker.as_str().to_owned(), lacks.clone()),
        None => (String::new(), String::new()),
    };
    let one = |(cause, workers, message): &(muster_types::PendingCause, u32, String)| v1::pending_reason::Reason {
        reason: cause.as_str().to_owned(),
        workers: *workers,
        message: message.clone(),
    };
    v1::PendingReason {
        reasons: reason.causes.iter().map(one).collect(),
        nearest_worker,
        nearest_message,
        never_fits: reason.never_fits,
    }
}

/// The same in one sentence.
pub fn pending_sentence(reason: &PendingReason) -> String {
    let mut parts: Vec<String> = Vec::new();
    if reason.never_fits {
        parts.push("no worker known could take it even if it were empty".to_owned());
    }
    parts.extend(reason.causes.iter().map(|(cause, workers, message)| match message.as_str() {
        "" => format!("{} ({workers} workers)", cause.as_str()),
        message => message.to_owned(),
    }));
    if let Some((worker, lacks)) = &reason.nearest {
        parts.push(format!("nearest is {worker}: {lacks}"));
    }
    parts.join("; ")
}
