//! Drains of workers, and their undoing.

use std::time::Duration;

use muster_types::{AttemptKey, DrainRecord, KilledBy, RequestId, WorkerCommand, WorkerUid};

use crate::core::{Core, Ctx};
use crate::idempotency::RequestKind;
use crate::timers::Timer;
use crate::{CallId, Rejection};

impl Core {
    pub(crate) fn drain_worker(
        &mut self,
        ctx: &mut Ctx<'_>,
        call: CallId,
        name: &str,
        request: Option<RequestId>,
        deadline: Option<Duration>,
    ) {
        let Some(uid) = self.worker_of_request(call, name, request.as_ref(), RequestKind::Drain) else { return };
        if self.refuse_forgotten(call, uid) {
            return;
        }
        self.note_request(ctx, request.as_ref(), uid, RequestKind::Drain);
        self.put_worker(uid, |record| {
            record.drain = Some(DrainRecord { asked: ctx.now.wall, deadline });
            Self::remember_on_worker(record, request);
        });
        self.arm_drain(ctx.now, uid);
        self.emit_worker_event(ctx.now.wall, uid, "drains");
        self.mark_draining(ctx, uid, true);
        self.tell_if_drained(ctx.now, uid);
        self.reply_worker(call, uid);
    }

    pub(crate) fn undrain_worker(&mut self, ctx: &mut Ctx<'_>, call: CallId, name: &str, request: Option<RequestId>) {
        let Some(uid) = self.worker_of_request(call, name, request.as_ref(), RequestKind::Undrain) else { return };
        if self.refuse_forgotten(call, uid) {
            return;
        }
        self.note_request(ctx, request.as_ref(), uid, RequestKind::Undrain);
        if let Some(worker) = self.workers.get_mut(uid) {
            worker.drain_until = None;
            worker.drain_over = false;
        }
        self.put_worker(uid, |record| {
            record.drain = None;
            Self::remember_on_worker(record, request);
        });
        self.emit_worker_event(ctx.now.wall, uid, "no longer drains");
        self.mark_draining(ctx, uid, false);
        self.reply_worker(call, uid);
    }

    fn refuse_forgotten(&mut self, call: CallId, uid: WorkerUid) -> bool {
        let Some(worker) = self.workers.get(uid).filter(|worker| worker.record.forgotten) else { return false };
        let subject = format!("worker {}", worker.record.name);
        self.reply(call, Err(Rejection::WrongState { subject, message: "it was forgotten".to_owned() }));
        true
    }

    /// Starts the drain's deadline: at the request, and anew when a new leader starts.
    pub(crate) fn arm_drain(&mut self, now: muster_types::Now, uid: WorkerUid) {
        let Some(worker) = self.workers.get_mut(uid) else { return };
        let deadline = worker.record.drain.as_ref().and_then(|drain| drain.deadline);
        worker.drain_over = false;
        worker.drain_until = deadline.map(|deadline| now.time + deadline);
        if let Some(at) = worker.drain_until {
            self.timers.arm(at, Timer::Drain(uid));
        }
    }

    /// Makes the worker's executors no longer count towards their targets, or count again.
    fn mark_draining(&mut self, ctx: &mut Ctx<'_>, uid: WorkerUid, draining: bool) {
        for key in self.assigned_to(uid) {
            if let AttemptKey::Executor(application, id) = key {
                self.mark_executor_draining(ctx, application, id, draining);
                self.boundary();
            }
        }
    }

    /// Ends the remaining attempts. The platform is responsible for this, so each runs elsewhere if
    /// its policy allows it.
    pub(crate) fn end_drain(&mut self, ctx: &mut Ctx<'_>, uid: WorkerUid) {
        let Some(worker) = self.workers.get_mut(uid) else { return };
        if worker.drain_over || worker.drain_until.is_none_or(|at| at > ctx.now.time) {
            return;
        }
        worker.drain_over = true;
        for key in self.assigned_to(uid) {
            match key {
                AttemptKey::Driver(..) => {
                    let kill = WorkerCommand::Kill { attempt: key, at_once: false, by: KilledBy::Drain };
                    self.send_to(uid, key, kill);
                }
                AttemptKey::Executor(application, id) => {
                    self.ask_for_executor_end(ctx, application, id, KilledBy::Drain);
                }
            }
            self.boundary();
        }
        self.emit_worker_event(ctx.now.wall, uid, "its drain's deadline has passed: what is left is ended");
    }
}
