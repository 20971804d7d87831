//! An operator says that a worker never comes back.

use muster_types::{Fault, Outcome, Reason, RequestId, WorkerState, WorkerUid};

use crate::core::{Core, Ctx};
use crate::requests::{Made, Seen, Verb};
use crate::{Answer, CallId, Effect, Rejection};

impl Core {
    pub(crate) fn forget_worker(&mut self, ctx: &mut Ctx<'_>, call: CallId, name: &str, request: Option<RequestId>) {
        let Some(uid) = self.worker_of_request(call, name, request.as_ref(), Verb::Forget) else { return };
        let Some(worker) = self.workers.get(uid) else { return };
        match worker.state() {
            WorkerState::Forgotten => return self.reply_worker(call, uid),
            WorkerState::Alive => {
                let subject = format!("worker {}", worker.record.name);
                let message = "it is alive: drain it and stop it first".to_owned();
                return self.reply(call, Err(Rejection::WrongState { subject, message }));
            }
            WorkerState::Silent | WorkerState::Unconfirmed | WorkerState::Lost => {}
        }
        let link = worker.link;
        for key in self.assigned_to(uid) {
            let outcome = Outcome::without_exit(Fault::Platform, Reason::Forgotten, "its worker was forgotten");
            self.close(ctx, key, outcome);
            self.boundary();
        }
        self.note_request(ctx, request.as_ref(), uid, Verb::Forget);
        if let Some(worker) = self.workers.get_mut(uid) {
            worker.link = None;
            worker.reported = false;
            worker.quarantined.clear();
            worker.condemned.clear();
        }
        self.put_worker(uid, |record| {
            record.forgotten = true;
            Self::remember_on_worker(record, request);
        });
        self.fleet.remove(uid);
        if let Some(link) = link {
            self.out.effect(Effect::SayHello(link));
        }
        self.tell_worker(ctx.now.wall, uid, "forgotten: refused from now on");
        self.reply_worker(call, uid);
        self.release_held(ctx);
    }

    pub(crate) fn reply_worker(&mut self, call: CallId, uid: WorkerUid) {
        if let Some(shown) = self.shown_worker(uid) {
            self.reply(call, Ok(Answer::Worker(shown)));
        }
    }

    /// The worker that a request names, unless the request is answered already.
    pub(crate) fn worker_of_request(
        &mut self,
        call: CallId,
        name: &str,
        request: Option<&RequestId>,
        verb: Verb,
    ) -> Option<WorkerUid> {
        let Some(worker) = self.workers.find(name) else {
            let name = name.to_owned();
            self.reply(call, Err(Rejection::NotFound { kind: "worker", name }));
            return None;
        };
        let uid = worker.record.uid;
        match request.map_or(Seen::New, |request| self.requests.see(request)) {
            Seen::New => return Some(uid),
            Seen::Expired => self.reply(call, Err(Rejection::RequestIdExpired)),
            Seen::Before(made) if made.is_same(Made::OnWorker(uid, Some(verb))) => self.reply_worker(call, uid),
            Seen::Before(_) => self.reply(call, Err(Rejection::RequestIdReused)),
        }
        None
    }

    pub(crate) fn note_request(&mut self, ctx: &Ctx<'_>, request: Option<&RequestId>, uid: WorkerUid, verb: Verb) {
        if let Some(request) = request {
            self.requests.remember(ctx.now.wall, request.clone(), Made::OnWorker(uid, Some(verb)));
        }
    }
}
