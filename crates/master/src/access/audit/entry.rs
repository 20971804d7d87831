//! What a line says of a call.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use muster_proto::errors::{reason_of, verdict_of};
use muster_proto::methods::Method;
use muster_proto::text::shorten;
use muster_proto::time::timestamp;
use muster_types::{Caller, Verdict};
use tokio::sync::{mpsc, oneshot};
use tonic::{Code, Status};

use super::late::{Judged, LateVerdict};
use super::repeats::{RefusalKey, Repeats};
use super::{AuditLine, Message};
use crate::access::caller::{CallerProof, KnownCaller};
use crate::clock;

/// The reason of a call whose caller went away before it was judged.
pub(super) const CANCELLED: &str = "CANCELLED";

/// The most bytes of a text that a caller chose.
const MAX_TEXT: usize = 256;

/// Who makes which call, from where.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct CallOrigin {
    /// `None`: there is no call yet, but a handshake.
    pub(crate) method: Option<Method>,
    pub(crate) peer: Option<SocketAddr>,
    /// Whether the peer says that it forwards the call for another.
    pub(crate) forwarded: bool,
    /// The caller's name, role and proof.
    caller: (String, Option<&'static str>, String),
    /// Whether anybody may make such a call, who proves nothing at all.
    is_anyones: bool,
}

impl CallOrigin {
    /// The origin of a call; `None`: who makes it is not known.
    pub(crate) fn new(
        method: Method,
        peer: Option<SocketAddr>,
        forwarded: bool,
        known: Option<&KnownCaller>,
    ) -> CallOrigin {
        let caller = match known {
            Some(KnownCaller { caller, proof, .. }) => {
                (caller.to_string(), caller.role().map(muster_types::Role::as_str), proof.to_string())
            }
            None => nobody(),
        };
        let is_anyones =
            known.is_some_and(|known| matches!(known.proof, CallerProof::Nothing | CallerProof::Plaintext));
        CallOrigin { method: Some(method), peer, forwarded, caller, is_anyones }
    }

    /// The origin of a handshake that comes to nothing.
    pub(crate) fn of_handshake(peer: Option<SocketAddr>) -> CallOrigin {
        CallOrigin { method: None, peer, forwarded: false, caller: nobody(), is_anyones: false }
    }

    /// What stands for more origins than are told apart.
    pub(super) fn of_many(method: Option<Method>) -> CallOrigin {
        CallOrigin { method, ..CallOrigin::of_handshake(None) }
    }

    pub(super) fn without_port(&self) -> CallOrigin {
        let peer = self.peer.map(|peer| SocketAddr::new(peer.ip(), 0));
        CallOrigin { peer, ..self.clone() }
    }

    pub(super) fn line(&self, verdict: &'static str, reason: String) -> AuditLine {
        let (caller, role, by) = self.caller.clone();
        let peer = self.peer.map(|peer| if peer.port() == 0 { peer.ip().to_string() } else { peer.to_string() });
        AuditLine {
            audit: 1,
            time: timestamp(clock::wall()).to_string(),
            caller: cut(caller),
            role,
            by,
            peer,
            forwarded: self.forwarded,
            method: self.method.map_or("handshake", |method| method.path().trim_start_matches("/muster.v1.")),
            verdict,
            reason,
            ..AuditLine::default()
        }
    }
}

/// Whoever has shown what is not good.
fn nobody() -> (String, Option<&'static str>, String) {
    (Caller::Anonymous.to_string(), None, "unknown".to_owned())
}

/// What the service says of a call: what it is about.
#[derive(Debug, Clone, Default)]
pub(crate) struct AuditNote {
    noted: Arc<Mutex<Noted>>,
    late: LateJudge,
}

#[derive(Debug, Clone, Default)]
struct Noted {
    resource: String,
    uid: String,
    request_id: String,
}

/// Where a service takes the verdict of a stream upon itself.
type LateJudge = Arc<Mutex<Option<oneshot::Receiver<Judged>>>>;

impl AuditNote {
    /// The verdict comes after the stream has begun.
    pub(crate) fn judge_late(&self) -> LateVerdict {
        let (verdict, judged) = LateVerdict::new();
        *self.late.lock().unwrap_or_else(PoisonError::into_inner) = Some(judged);
        verdict
    }

    /// What is to tell the verdict, if the service tells it late.
    pub(in crate::access) fn late_judgement(&self) -> Option<oneshot::Receiver<Judged>> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What the request names.
    pub(crate) fn asked(&self, resource: String, request_id: &str) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.resource = cut(resource);
        noted.request_id = cut(request_id.to_owned());
    }

    /// What the answer names.
    pub(crate) fn answered(&self, resource: String, uid: &str) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.resource = cut(resource);
        uid.clone_into(&mut noted.uid);
    }
}

fn cut(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        shorten(&mut text, MAX_TEXT);
        text.push('…');
    }
    text
}

/// The line of a call that has begun. One whose caller goes away is written with an unknown
/// outcome.
pub(crate) struct OpenEntry {
    place: Option<mpsc::OwnedPermit<Message>>,
    origin: CallOrigin,
    note: AuditNote,
    verdict: &'static str,
    reason: String,
    repeats: Arc<Repeats>,
}

impl OpenEntry {
    pub(super) fn new(
        place: Option<mpsc::OwnedPermit<Message>>,
        origin: CallOrigin,
        note: AuditNote,
        repeats: Arc<Repeats>,
    ) -> OpenEntry {
        OpenEntry { place, origin, note, verdict: "unknown", reason: CANCELLED.to_owned(), repeats }
    }

    /// Writes nothing: the verdict comes later.
    pub(crate) fn leave(mut self) {
        self.place = None;
    }

    /// Writes the line of a call that was answered, or whose stream begins.
    pub(crate) fn end(mut self, status: Option<&Status>) {
        (self.verdict, self.reason) = match status.filter(|status| status.code() != Code::Ok) {
            None => ("ok", String::new()),
            Some(status) => {
                let reason = reason_of(status).unwrap_or_else(|| format!("{:?}", status.code()));
                match status.code() {
                    Code::Unauthenticated | Code::PermissionDenied => ("denied", reason),
                    _ if verdict_of(status) == Verdict::Unknown => ("unknown", reason),
                    _ => ("failed", reason),
                }
            }
        };
    }
}

impl Drop for OpenEntry {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else { return };
        // Whoever proves nothing must not be able to fill the file.
        if self.origin.is_anyones && self.verdict != "ok" {
            let (origin, reason) = (self.origin.clone(), self.reason.clone().into());
            if !self.repeats.is_first(&RefusalKey { origin, verdict: self.verdict, reason }) {
                return;
            }
        }
        let Noted { resource, uid, request_id } =
            self.note.noted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let line = self.origin.line(self.verdict, std::mem::take(&mut self.reason));
        place.send(Message::Line(AuditLine { resource, uid, request_id, ..line }.to_json()));
    }
}

#[cfg(test)]
mod tests {
    use muster_proto::errors::Failure;

    use super::*;

    fn line_of(end: impl FnOnce(OpenEntry, &AuditNote)) -> serde_json::Value {
        let (lines, mut queue) = mpsc::channel(1);
        let origin = CallOrigin::new(Method::MasterKillDriver, Some("10.0.0.7:51234".parse().unwrap()), false, None);
        let note = AuditNote::default();
        let place = lines.try_reserve_owned().ok();
        end(OpenEntry::new(place, origin, note.clone(), Arc::default()), &note);
        let Ok(Message::Line(line)) = queue.try_recv() else { panic!("each call has a line") };
        serde_json::from_str(&line).unwrap()
    }

    #[test]
    fn each_outcome_has_its_verdict() {
        let ended = |status: Status| {
            let line = line_of(|entry, _| entry.end(Some(&status)));
            (line["verdict"].as_str().unwrap().to_owned(), line["reason"].as_str().unwrap_or_default().to_owned())
        };
        let pair = |verdict: &str, reason: &str| (verdict.to_owned(), reason.to_owned());
        assert_eq!(ended(Status::ok("")), pair("ok", ""));
        assert_eq!(ended(Failure::NoCredential.to_status()), pair("denied", "NO_CREDENTIAL"));
        let other = Failure::NotOwner { caller: "ann".to_owned(), kind: "driver", name: "pi".to_owned() };
        assert_eq!(ended(other.to_status()), pair("denied", "NOT_OWNER"));
        assert_eq!(ended(Failure::RequestIdReused.to_status()), pair("failed", "REQUEST_ID_REUSED"));
        let unknown = Failure::OutcomeUnknown { message: String::new() };
        assert_eq!(ended(unknown.to_status()), pair("unknown", "OUTCOME_UNKNOWN"));
        assert_eq!(ended(Status::internal("")), pair("unknown", "Internal"));
        assert_eq!(line_of(|entry, _| drop(entry))["reason"], "CANCELLED");
    }

    #[test]
    fn texts_of_callers_are_cut_and_escaped() {
        let line = line_of(|entry, note| {
            note.asked(format!("driver/a\n\"{}", "é".repeat(1000)), "r-1");
            note.answered(format!("driver/a\n\"{}", "é".repeat(1000)), "9b1e");
            entry.end(None);
        });
        let resource = line["resource"].as_str().unwrap();
        assert!(resource.starts_with("driver/a\n\"é") && resource.ends_with('…') && resource.len() < 270);
        assert_eq!((line["uid"].as_str(), line["request_id"].as_str()), (Some("9b1e"), Some("r-1")));
        assert_eq!(line["peer"], "10.0.0.7:51234");
        assert_eq!(line["method"], "MasterService/KillDriver");
    }
}
