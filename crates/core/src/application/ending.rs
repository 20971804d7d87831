//! The end of an application. Its executors end first.

use std::sync::Arc;
use std::time::Duration;

use muster_types::{
    ApplicationState, ApplicationUid, AttemptKey, AttemptNumber, DriverUid, EndingRecord, ExecutorId, Exit, Fault,
    KilledBy, Now, Outcome, RequestId, WorkerCommand,
};

use super::UnregisterRequest;
use crate::core::{Core, Ctx};
use crate::idempotency::RequestKind;
use crate::state::Application;
use crate::timers::Timer;
use crate::{CallId, Effect, Rejection, SessionEnd};

/// Ended applications that are noted for a disconnected worker, at most. The scratch directories of
/// further ones stay.
const MAX_GONE: usize = 1024;

impl Application {
    /// Who asks for the end of its remaining executors.
    pub(crate) fn killer(&self) -> KilledBy {
        match self.record.ending.as_ref().map(|ending| ending.by.as_str()) {
            Some("operator") => KilledBy::Operator,
            Some(_) | None => KilledBy::Application,
        }
    }
}

impl Core {
    pub(crate) fn unregister(
        &mut self,
        ctx: &mut Ctx<'_>,
        call: CallId,
        name: &str,
        token: Option<&str>,
        unregister: UnregisterRequest,
        request: Option<RequestId>,
    ) {
        let uid = match self.application_for(name, token) {
            Ok(uid) => uid,
            Err(rejection) => return self.reply(call, Err(rejection)),
        };
        let repeat = |core: &mut Core| core.reply_application(call, uid);
        if !self.is_new_request(call, uid, request.as_ref(), RequestKind::Unregister, repeat) {
            return;
        }
        self.note_application_request(ctx, request.as_ref(), uid, RequestKind::Unregister);
        self.keep_request(ctx.now, uid, request);
        let state = if unregister.success { ApplicationState::Finished } else { ApplicationState::Failed };
        self.begin_ending(ctx, uid, state, "application", unregister.message, unregister.grace);
        self.reply_application(call, uid);
    }

    pub(crate) fn kill_application(&mut self, ctx: &mut Ctx<'_>, call: CallId, name: &str, request: Option<RequestId>) {
        let Some(uid) = self.applications.find(name).map(|application| application.record.uid) else {
            let name = name.to_owned();
            return self.reply(call, Err(Rejection::NotFound { kind: "application", name }));
        };
        let repeat = |core: &mut Core| core.reply_application(call, uid);
        if !self.is_new_request(call, uid, request.as_ref(), RequestKind::KillApplication, repeat) {
            return;
        }
        self.note_application_request(ctx, request.as_ref(), uid, RequestKind::KillApplication);
        self.keep_request(ctx.now, uid, request);
        let message = "killed by an operator".to_owned();
        self.begin_ending(ctx, uid, ApplicationState::Killed, "operator", message, Duration::ZERO);
        self.end_quarantined_of(KilledBy::Operator, |_, key| matches!(key, AttemptKey::Executor(of, _) if of == uid));
        self.reply_application(call, uid);
    }

    /// Adds a request's id to the record, which the request is about to write. If the application
    /// is ending already, the record is written for the id alone. A request for an application that
    /// has ended has no effect, so its id is not kept.
    fn keep_request(&mut self, now: Now, uid: ApplicationUid, request: Option<RequestId>) {
        let Some(application) = self.applications.get_mut(uid) else { return };
        if !application.is_over() {
            Arc::make_mut(&mut application.record).requests.extend(request);
        } else if !application.record.state.is_terminal() && request.is_some() {
            self.put_application(now, uid, request, |_| {});
        }
    }

    /// Ends every application of an attempt that is about to be closed. The grace of its session
    /// does not apply.
    pub(crate) fn end_applications_of(
        &mut self,
        ctx: &mut Ctx<'_>,
        driver: DriverUid,
        attempt: AttemptNumber,
        outcome: &Outcome,
    ) {
        let Some(driver) = self.drivers.get(driver) else { return };
        let killed = driver.record.kill.is_some();
        let owned: Vec<ApplicationUid> = driver.applications.iter().copied().collect();
        let state = match (outcome.fault, outcome.exit) {
            _ if killed => ApplicationState::Killed,
            (Fault::Program, Exit::Code(0)) => ApplicationState::Finished,
            (Fault::Program | Fault::Platform | Fault::User, _) => ApplicationState::Failed,
        };
        for uid in owned {
            let Some(application) = self.applications.get_mut(uid) else { continue };
            if application.record.driver.as_ref().is_none_or(|(_, _, number)| *number != attempt) {
                continue;
            }
            let session = application.connected.then_some(application.session);
            application.connected = false;
            if let Some(session) = session {
                self.out.effect(Effect::EndSession(uid, session, SessionEnd::Fenced));
            }
            let message = format!("attempt {attempt} of its driver ended");
            self.begin_ending(ctx, uid, state, "driver", message, Duration::ZERO);
            self.boundary();
        }
    }

    /// Ends an application. If it is ending already, its remaining executors may be killed sooner.
    pub(crate) fn begin_ending(
        &mut self,
        ctx: &mut Ctx<'_>,
        uid: ApplicationUid,
        state: ApplicationState,
        by: &str,
        message: String,
        grace: Duration,
    ) {
        let Some(application) = self.applications.get(uid) else { return };
        if application.record.state.is_terminal() {
            return;
        }
        if application.record.state != ApplicationState::Ending {
            let ending = EndingRecord { state, by: by.to_owned(), message: message.clone() };
            self.put_application(ctx.now, uid, None, |record| {
                record.state = ApplicationState::Ending;
                record.ending = Some(ending);
            });
            self.refresh_demand(ctx.now, uid);
            self.emit_application_event(ctx.now.wall, uid, &message);
        }
        if grace.is_zero() {
            self.kill_rest(ctx, uid);
        } else {
            self.timers.arm(ctx.now.time + grace, Timer::Ending(uid));
        }
        self.complete_ending(ctx, uid);
    }

    pub(crate) fn end_ending_grace(&mut self, ctx: &mut Ctx<'_>, uid: ApplicationUid) {
        let ending =
            self.applications.get(uid).is_some_and(|application| application.record.state == ApplicationState::Ending);
        if ending {
            self.kill_rest(ctx, uid);
        }
    }

    fn kill_rest(&mut self, ctx: &mut Ctx<'_>, uid: ApplicationUid) {
        let Some(application) = self.applications.get_mut(uid) else { return };
        application.kill_rest = true;
        let by = application.killer();
        let open: Vec<ExecutorId> = application.open.iter().copied().collect();
        for id in open {
            self.ask_for_executor_end(ctx, uid, id, by);
            self.boundary();
        }
    }

    /// Makes an ending application terminal once no executor is left.
    pub(crate) fn complete_ending(&mut self, ctx: &mut Ctx<'_>, uid: ApplicationUid) {
        let Some(application) = self.applications.get(uid) else { return };
        let record = &application.record;
        let Some(ending) = record.ending.clone().filter(|_| record.state == ApplicationState::Ending) else { return };
        if !application.open.is_empty() {
            return;
        }
        let driver = record.driver.as_ref().map(|(driver, _, _)| *driver);
        self.put_application(ctx.now, uid, None, |record| {
            record.state = ending.state;
            record.ended = Some(record.updated);
        });
        self.emit_application_event(ctx.now.wall, uid, &ending.message);
        self.end_session_if_over(uid);
        self.tell_workers_gone(uid);
        self.finish_application(ctx.now, uid);
        if let Some(driver) = driver {
            self.enqueue_driver(driver);
        }
    }

    fn tell_workers_gone(&mut self, uid: ApplicationUid) {
        let Some(application) = self.applications.get(uid) else { return };
        for worker in application.hosts.clone() {
            let Some(worker) = self.workers.get_mut(worker) else { continue };
            match worker.ready_link() {
                Some(link) => self.out.send(link, WorkerCommand::ApplicationGone(uid)),
                None if worker.ended_apps_to_announce.len() < MAX_GONE => {
                    worker.ended_apps_to_announce.insert(uid);
                }
                None => {}
            }
        }
    }
}
