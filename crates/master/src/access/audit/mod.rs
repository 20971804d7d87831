//! The audit: one line of JSON for each mutation and each refusal, from the master that judged it.
//!
//! A mutation takes a place in the queue of lines before it is begun, so a disk that is too slow
//! slows mutations down, and no line of one is lost. What is refused never waits: equal refusals
//! are counted, and those for which there is no room as well.

mod destination;
mod entry;
mod late;
mod repeats;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use muster_proto::methods::{Method, READS};
use serde::Serialize;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use destination::AuditWriter;
pub use destination::{AuditDestination, AuditError};
pub(crate) use entry::AuditNote;
use entry::CANCELLED;
pub(super) use entry::{CallOrigin, OpenEntry};
use late::Judged;
pub(crate) use late::LateVerdict;
use repeats::{RefusalKey, Repeats};

/// Lines that wait for the disk: some megabytes.
const QUEUE: usize = 8192;
/// How often the counts of equal refusals are written.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// What the writer is sent.
enum Message {
    Line(String),
    /// Everything before it is written.
    Flush(oneshot::Sender<()>),
}

/// Where lines go.
#[derive(Debug)]
pub(crate) struct Audit {
    /// `None`: nothing is audited.
    lines: Option<mpsc::Sender<Message>>,
    repeats: Arc<Repeats>,
    lost: Arc<AtomicU64>,
}

/// One line.
#[derive(Debug, Clone, Default, Serialize)]
struct AuditLine {
    /// The version of this form.
    audit: u32,
    time: String,
    caller: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    forwarded: bool,
    method: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    resource: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    uid: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    request_id: String,
    verdict: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    /// Equal refusals since the line before.
    #[serde(skip_serializing_if = "Option::is_none")]
    repeated: Option<u64>,
}

impl Audit {
    /// Opens the destination. A thread writes to it until this is dropped. What cannot be written
    /// is counted.
    pub(crate) fn open(destination: &AuditDestination, lost: Arc<AtomicU64>) -> Result<Audit, AuditError> {
        let lines = match AuditWriter::open(destination, lost.clone())? {
            None => None,
            Some(writer) => {
                let (lines, queue) = mpsc::channel(QUEUE);
                let thread = std::thread::Builder::new().name("audit".to_owned());
                thread.spawn(move || writer.run(queue)).map_err(AuditError::Thread)?;
                Some(lines)
            }
        };
        Ok(Audit { lines, repeats: Arc::default(), lost })
    }

    /// Whether calls of a method have a line when they succeed: those that change something, and
    /// those that hand out what is kept from others.
    pub(super) fn is_about(&self, method: Method) -> bool {
        let is_secret = matches!(method, Method::MasterBackup | Method::MasterReadLog);
        let is_ours = method.path().starts_with("/muster.v1.");
        self.lines.is_some() && (is_secret || is_ours && !READS.contains(&method.path()))
    }

    /// Begins the line of a call, once there is room for it.
    pub(super) async fn begin(&self, origin: CallOrigin, note: AuditNote) -> OpenEntry {
        let place = match &self.lines {
            Some(lines) => lines.clone().reserve_owned().await.ok(),
            None => None,
        };
        if place.is_none() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        OpenEntry::new(place, origin, note, self.repeats.clone())
    }

    /// Notes a refusal, unless an equal one was just noted.
    pub(super) fn refused(&self, origin: &CallOrigin, reason: &'static str) {
        self.note_refusal(RefusalKey { origin: origin.clone(), verdict: "denied", reason: reason.into() });
    }

    /// Notes what becomes of a stream. It has no place in the queue until then, because whoever
    /// opens streams and says nothing on them would take all.
    pub(super) async fn judged_late(&self, origin: CallOrigin, note: AuditNote, judged: oneshot::Receiver<Judged>) {
        let (verdict, reason) = match judged.await {
            Ok(None) => return self.begin(origin, note).await.end(None),
            Ok(Some(refused)) => refused,
            Err(_) => ("unknown", CANCELLED.into()),
        };
        self.note_refusal(RefusalKey { origin, verdict, reason });
    }

    fn note_refusal(&self, key: RefusalKey) {
        if self.lines.is_none() {
            return;
        }
        if self.repeats.is_first(&key) {
            self.send(&key.line(None));
        }
    }

    /// Writes the counts of equal refusals, for ever.
    pub(crate) async fn keep_swept(&self) -> Infallible {
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            self.sweep();
        }
    }

    fn sweep(&self) {
        for (key, count) in self.repeats.take() {
            self.send(&key.line(Some(count)));
        }
    }

    fn send(&self, line: &AuditLine) {
        let Some(lines) = &self.lines else { return };
        if let Err(TrySendError::Full(_) | TrySendError::Closed(_)) = lines.try_send(Message::Line(line.to_json())) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Ready once everything before is written.
    pub(crate) async fn flush(&self) {
        self.sweep();
        let Some(lines) = &self.lines else { return };
        let (flushed, done) = oneshot::channel();
        if lines.send(Message::Flush(flushed)).await.is_ok() {
            // A writer that is gone has nothing left.
            let _ = done.await;
        }
    }
}

impl AuditLine {
    fn to_json(&self) -> String {
        // Nothing in it can fail to be written: no keys but the fields.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_something_is_audited_and_so_are_logs_and_backups() {
        let lost = Arc::<AtomicU64>::default();
        let audit = Audit { lines: Some(mpsc::channel(1).0), repeats: Arc::default(), lost };
        for method in [Method::MasterSubmitDriver, Method::WorkerLinkLink, Method::MasterBackup, Method::MasterReadLog]
        {
            assert!(audit.is_about(method), "{method:?}");
        }
        for method in
            [Method::MasterListDrivers, Method::MasterWatchEvents, Method::AccessGetCaller, Method::HealthCheck]
        {
            assert!(!audit.is_about(method), "{method:?}");
        }
    }
}
