//! Callers that wait for an answer.

use std::collections::HashMap;

use muster_core::{Answer, CallId, Effect, Rejection, Request};
use tokio::sync::oneshot;

use crate::sessions::OpenedSession;

/// A request, and the caller that waits for its answer.
#[derive(Debug)]
pub(crate) struct PendingCall {
    pub request: Request,
    /// Where the answer goes. It is closed once the caller has gone away; a request that was not
    /// handled by then never is.
    pub reply: oneshot::Sender<CallReply>,
}

impl PendingCall {
    /// Tells the caller that nothing was done.
    pub(crate) fn dismiss(self) {
        let _ = self.reply.send(CallReply::NotApplied);
    }
}

/// The reply to a caller. No reply at all means that the outcome is unknown.
#[derive(Debug)]
pub(crate) enum CallReply {
    /// The core's answer. What it depends on is durable.
    Answered {
        answer: Result<Answer, Rejection>,
        /// The session that the request opened, if it opened one.
        session: Option<Box<OpenedSession>>,
    },
    /// The request was not applied: leadership ended before it was handled or its decision
    /// committed.
    NotApplied,
    /// The core panicked on the request.
    Failed,
}

/// The waiting callers, by the number under which the core knows them.
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

    /// Answers a caller. It is no error if the caller has gone away.
    pub(crate) fn answer(&mut self, call: CallId, reply: CallReply) {
        if let Some(caller) = self.waiting.remove(&call) {
            let _ = caller.send(reply);
        }
    }

    /// Tells every waiting caller that nothing was applied. Used once nothing more is sent to the
    /// store.
    pub(crate) fn dismiss(&mut self) {
        for (_, caller) in self.waiting.drain() {
            let _ = caller.send(CallReply::NotApplied);
        }
    }

    /// Drops the callers that these effects would have answered: their outcome is unknown.
    pub(crate) fn leave_unanswered(&mut self, effects: &[Effect]) {
        for effect in effects {
            if let Effect::Reply(call, _) = effect {
                self.waiting.remove(call);
            }
        }
    }

    /// Drops every waiting caller: the outcome is unknown.
    pub(crate) fn abandon(&mut self) {
        self.waiting.clear();
    }
}
