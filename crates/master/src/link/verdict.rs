//! What the audit says of a hello. The stream has begun by then, so this is not its status.

use muster_proto::errors::reason_of;
use muster_types::Hello;
use tonic::{Extensions, Status};

use super::downlink::Goodbye;
use crate::access::{AuditNote, LateVerdict};

/// The line of a hello, until its verdict is told.
#[derive(Debug, Default)]
pub(crate) struct HelloVerdict(Option<(AuditNote, LateVerdict)>);

impl HelloVerdict {
    /// The one of a call, if calls are audited.
    pub(crate) fn of(extensions: &Extensions) -> HelloVerdict {
        HelloVerdict(extensions.get::<AuditNote>().map(|note| (note.clone(), note.judge_late())))
    }

    /// Whose hello it is.
    pub(crate) fn name(&self, hello: &Hello) {
        if let Some((note, _)) = &self.0 {
            note.answered(format!("worker/{}", hello.name), &hello.worker.to_string());
        }
    }

    /// The worker is welcome.
    pub(crate) fn welcomed(&mut self) {
        if let Some((_, verdict)) = self.0.take() {
            verdict.taken();
        }
    }

    /// It is not, unless it was before.
    pub(crate) fn dismissed(&mut self, goodbye: &Goodbye) {
        let Some((_, verdict)) = self.0.take() else { return };
        match goodbye {
            Goodbye::Refused(word, _) => verdict.denied(word),
            Goodbye::Busy => verdict.failed("BUSY"),
            Goodbye::NotLeader(_) => verdict.failed("NOT_LEADER"),
            Goodbye::Shutdown => verdict.failed("SHUTDOWN"),
            Goodbye::SayHello => verdict.failed("SAY_HELLO"),
            Goodbye::Superseded => verdict.failed("SUPERSEDED"),
        }
    }

    /// There was no hello, or none that makes sense.
    pub(crate) fn failed(&mut self, status: &Status) {
        if let Some((_, verdict)) = self.0.take() {
            verdict.failed(reason_of(status).unwrap_or_else(|| format!("{:?}", status.code())));
        }
    }
}
