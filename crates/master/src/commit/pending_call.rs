//! Callers that wait for an answer.

use std::collections::HashMap;

use muster_core::{Answer, CallId, Effect, Rejection, Request};
use tokio::sync::oneshot;

use crate::sessions::OpenedSession;

/// A request with the caller that waits for the answer.
#[derive(Debug)]
pub(crate) struct PendingCall {
    /// The request.
    pub request: Request,
    /// Where the answer goes. Closed when the caller has gone away: then, if it is not handled yet,
    /// it never is.
    pub reply: oneshot::Sender<CallReply>,
}

impl PendingCall {
    /// Tells the caller that nothing was done.
    pub(crate) fn dismiss(self) {
        let _ = self.reply.send(CallReply::NotApplied);
    }
}

/// What a caller hears. No reply at all means that the outcome is unknown.
#[derive(Debug)]
pub(crate) enum CallReply {
    /// The core's answer, durable.
    Answered {
        /// The answer.
        answer: Result<Answer, Rejection>,
        /// The session that was opened, when that was the request.
        session: Option<Box<OpenedSession>>,
    },
    /// Leadership ended before it was handled, or with its decision not yet sent to the store: it
    /// was not applied.
    NotApplied,
    /// Handling it failed within the core.
    Failed,
}

/// The callers that wait, by the number that the core knows them by.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    waiting: HashMap<CallId, oneshot::Sender<CallReply>>,
    next: u64,
}

impl Calls {
    /// Numbers a caller.
    pub(crate) fn enter(&mut self, reply: oneshot::Sender<CallReply>) -> CallId {
        let call = CallId(self.next);
        self.next += 1;
        self.waiting.insert(call, reply);
        call
    }

    /// Answers one. A caller that has gone away is no fault.
    pub(crate) fn answer(&mut self, call: CallId, reply: CallReply) {
        if let Some(caller) = self.waiting.remove(&call) {
            let _ = caller.send(reply);
        }
    }

    /// Tells everybody who still waits that nothing was applied: used once nothing more is sent to
    /// the store.
    pub(crate) fn dismiss(&mut self) {
        for (_, caller) in self.waiting.drain() {
            let _ = caller.send(CallReply::NotApplied);
        }
    }

    /// Leaves those whom these effects would have answered without an answer: their outcome is
    /// unknown.
    pub(crate) fn leave_unanswered(&mut self, effects: &[Effect]) {
        for effect in effects {
            if let Effect::Reply(call, _) = effect {
                self.waiting.remove(call);
            }
        }
    }

    /// Leaves everybody who still waits without an answer: the outcome is unknown.
    pub(crate) fn abandon(&mut self) {
        self.waiting.clear();
    }
}
