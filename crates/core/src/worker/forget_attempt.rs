//! An operator declares that nothing of one attempt is left, where no worker can report it.

use muster_types::{AttemptKey, Fault, Outcome, Reason, RequestId, WorkerUid};

use crate::core::{Core, Ctx};
use crate::idempotency::RequestKind;
use crate::{CallId, Rejection};

impl Core {
    /// Closes an attempt at an operator's request. Refused if its worker still has it, because the
    /// worker can then kill it and report its end.
    pub(crate) fn forget_attempt(
        &mut self,
        ctx: &mut Ctx<'_>,
        call: CallId,
        name: &str,
        attempt: AttemptKey,
        request: Option<RequestId>,
    ) {
        let Some(uid) = self.worker_of_request(call, name, request.as_ref(), RequestKind::ForgetAttempt) else {
            return;
        };
        let Some(worker) = self.workers.get(uid) else { return };
        let on = &worker.record.name;
        if !worker.assigned.contains_key(&attempt) {
            let name = format!("{attempt} open on {on}");
            return self.reply(call, Err(Rejection::NotFound { kind: "attempt", name }));
        }
        if let Some(refusal) = self.refuse_forgetting(uid, attempt) {
            let subject = format!("attempt {attempt} on {on}");
            return self.reply(call, Err(Rejection::WrongState { subject, message: refusal.to_owned() }));
        }
        self.note_request(ctx, request.as_ref(), uid, RequestKind::ForgetAttempt);
        let message = "an operator declared that nothing of it is left";
        self.close(ctx, attempt, Outcome::without_exit(Fault::Platform, Reason::Forgotten, message));
        // This is written in the group that closes the attempt: a request id is known exactly when
        // its effect is durable.
        self.put_worker(uid, |record| Self::remember_on_worker(record, request));
        self.emit_worker_event(ctx.now.wall, uid, &format!("an operator declared that nothing of {attempt} is left"));
        self.tell_if_drained(ctx.now, uid);
        self.reply_worker(call, uid);
    }

    fn refuse_forgetting(&self, uid: WorkerUid, attempt: AttemptKey) -> Option<&'static str> {
        let worker = self.workers.get(uid)?;
        if let AttemptKey::Driver(driver, _) = attempt
            && self.restore.holds(driver)
        {
            return Some("its driver is held since the store was restored, and is released by what workers report");
        }
        let has_it = worker.reported && self.incarnation_of(attempt) == Some(worker.record.incarnation);
        has_it.then_some("its worker has it: kill it instead")
    }
}
