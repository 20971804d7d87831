//! An operator takes a worker's key from it.

use muster_types::{RequestId, WorkerState};

use crate::core::{Core, Ctx};
use crate::idempotency::RequestKind;
use crate::{CallId, Effect, Rejection};

impl Core {
    /// What runs there is not closed: the machine may well go on running it. The worker is no
    /// longer heard, so its lease ends, and it is lost past its deadline as if it were cut off.
    pub(crate) fn revoke_worker(&mut self, ctx: &mut Ctx<'_>, call: CallId, name: &str, request: Option<RequestId>) {
        let Some(uid) = self.worker_of_request(call, name, request.as_ref(), RequestKind::Revoke) else { return };
        let Some(worker) = self.workers.get_mut(uid) else { return };
        if worker.record.revoked || worker.state() == WorkerState::Forgotten {
            return self.reply_worker(call, uid);
        }
        if worker.record.key.is_none() {
            let subject = format!("worker {}", worker.record.name);
            let message = "it has shown no certificate, so there is no key to revoke".to_owned();
            return self.reply(call, Err(Rejection::WrongState { subject, message }));
        }
        let link = worker.drop_link();
        self.note_request(ctx, request.as_ref(), uid, RequestKind::Revoke);
        self.put_worker(uid, |record| {
            record.revoked = true;
            Self::remember_on_worker(record, request);
        });
        self.refresh_eligibility(uid);
        if let Some(link) = link {
            self.out.effect(Effect::Reconnect(link));
        }
        self.emit_worker_event(ctx.now.wall, uid, "its key was revoked: refused from now on");
        self.reply_worker(call, uid);
    }
}
