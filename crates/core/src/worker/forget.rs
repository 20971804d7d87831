//! An operator declares that a worker never comes back.

use muster_types::{Fault, Outcome, Reason, RequestId, WorkerState, WorkerUid};

use crate::core::{Core, Ctx};
use crate::idempotency::{Lookup, RequestEffect, RequestKind};
use crate::{Answer, CallId, Effect, Rejection};

impl Core {
    pub(crate) fn forget_worker(&mut self, ctx: &mut Ctx<'_>, call: CallId, name: &str, request: Option<RequestId>) {
        let Some(uid) = self.worker_of_request(call, name, request.as_ref(), RequestKind::Forget) else { return };
        let Some(worker) = self.workers.get(uid) else { return };
        match worker.state() {
            WorkerState::Forgotten => return self.reply_worker(call, uid),
            WorkerState::Alive => {
                let subject = format!("worker {}", worker.record.name);
                let message = "it is alive: drain it and stop it first".to_owned();
                return self.reply(call, Err(Rejection::WrongState { subject, message }));
            }
            WorkerState::Disconnected | WorkerState::Unconfirmed | WorkerState::Lost => {}
        }
        for key in self.assigned_to(uid) {
            let outcome = Outcome::without_exit(Fault::Platform, Reason::Forgotten, "its worker was forgotten");
            self.close(ctx, key, outcome);
            self.boundary();
        }
        self.note_request(ctx, request.as_ref(), uid, RequestKind::Forget);
        let Some(worker) = self.workers.get_mut(uid) else { return };
        let link = worker.drop_link();
        worker.quarantined.clear();
        worker.marked_for_kill.clear();
        self.put_worker(uid, |record| {
            record.forgotten = true;
            Self::remember_on_worker(record, request);
        });
        self.fleet.remove(uid);
        if let Some(link) = link {
            self.out.effect(Effect::Reconnect(link));
        }
        self.emit_worker_event(ctx.now.wall, uid, "forgotten: refused from now on");
        self.reply_worker(call, uid);
        self.release_held(ctx);
    }

    pub(crate) fn reply_worker(&mut self, call: CallId, uid: WorkerUid) {
        if let Some(shown) = self.shown_worker(uid) {
            self.reply(call, Ok(Answer::Worker(shown)));
        }
    }

    /// The worker that a request names; `None` if the request has been answered here.
    pub(crate) fn worker_of_request(
        &mut self,
        call: CallId,
        name: &str,
        request: Option<&RequestId>,
        verb: RequestKind,
    ) -> Option<WorkerUid> {
        let Some(worker) = self.workers.find(name) else {
            let name = name.to_owned();
            self.reply(call, Err(Rejection::NotFound { kind: "worker", name }));
            return None;
        };
        let uid = worker.record.uid;
        match request.map_or(Lookup::New, |request| self.requests.see(request)) {
            Lookup::New => return Some(uid),
            Lookup::Expired => self.reply(call, Err(Rejection::RequestIdExpired)),
            Lookup::Before(made) if made.is_same(RequestEffect::OnWorker(uid, Some(verb))) => {
                self.reply_worker(call, uid)
            }
            Lookup::Before(_) => self.reply(call, Err(Rejection::RequestIdReused)),
        }
        None
    }

    pub(crate) fn note_request(
        &mut self,
        ctx: &Ctx<'_>,
        request: Option<&RequestId>,
        uid: WorkerUid,
        verb: RequestKind,
    ) {
        if let Some(request) = request {
            self.requests.remember(ctx.now.wall, request.clone(), RequestEffect::OnWorker(uid, Some(verb)));
        }
    }
}
