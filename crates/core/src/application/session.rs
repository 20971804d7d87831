//! Sessions of applications: opened, superseded, broken and resumed.

use muster_types::{ApplicationState, ApplicationUid, ExecutorId, SessionLostPolicy};

use crate::core::{Core, Ctx};
use crate::timers::Timer;
use crate::{Answer, ApplicationEvent, CallId, Effect, SessionEnd, SessionNumber};

impl Core {
    pub(crate) fn open_session(&mut self, ctx: &mut Ctx<'_>, call: CallId, name: &str, token: Option<&str>) {
        let uid = match self.application_for(name, token) {
            Ok(uid) => uid,
            Err(rejection) => return self.reply(call, Err(rejection)),
        };
        let Some(application) = self.applications.get_mut(uid) else { return };
        let before = application.live();
        let older = application.connected.then_some(application.session);
        application.session = SessionNumber(application.session.0 + 1);
        application.connected = true;
        application.away = false;
        application.grace = None;
        let session = application.session;
        let changed = application.live() != before;
        let open: Vec<ExecutorId> = application.open.iter().copied().collect();
        if let Some(older) = older {
            self.out.effect(Effect::EndSession(uid, older, SessionEnd::Superseded));
        }
        let executors = open.into_iter().filter_map(|id| self.shown_executor(uid, id)).collect();
        self.reply(call, Ok(Answer::Session(uid, session, executors)));
        self.refresh_demand(ctx.now, uid);
        self.out.touched.applications.insert(uid);
        if changed {
            self.emit_application_event(ctx.now.wall, uid, "its session is open");
        }
        self.end_session_if_over(uid);
    }

    /// Sends an event to the session, if there is one.
    pub(crate) fn tell_session(&mut self, uid: ApplicationUid, event: ApplicationEvent) {
        let Some(application) = self.applications.get(uid).filter(|application| application.connected) else { return };
        self.out.effect(Effect::Session(uid, application.session, event));
    }

    /// Marks a session as broken. Until it resumes, within its grace, no executor is replaced.
    pub(crate) fn break_session(&mut self, ctx: &mut Ctx<'_>, uid: ApplicationUid, session: SessionNumber) {
        let Some(application) = self.applications.get_mut(uid) else { return };
        if !application.connected || application.session != session {
            return;
        }
        application.connected = false;
        if application.is_over() {
            return;
        }
        self.await_session(ctx.now, uid);
        self.emit_application_event(ctx.now.wall, uid, "its session is away");
    }

    /// Starts the whole grace anew: after a break, and for every session when a new leader starts.
    pub(crate) fn await_session(&mut self, now: muster_types::Now, uid: ApplicationUid) {
        let Some(application) = self.applications.get_mut(uid) else { return };
        let at = now.time + application.record.spec.session_grace;
        application.away = true;
        application.grace = Some(at);
        let session = application.session;
        self.timers.arm(at, Timer::Session(uid, session));
        self.refresh_demand(now, uid);
    }

    pub(crate) fn end_session_grace(&mut self, ctx: &mut Ctx<'_>, uid: ApplicationUid, session: SessionNumber) {
        let Some(application) = self.applications.get_mut(uid) else { return };
        let due = application.grace.is_some_and(|at| at <= ctx.now.time);
        if application.connected || application.session != session || !due || application.is_over() {
            return;
        }
        application.grace = None;
        match application.record.spec.on_session_lost {
            SessionLostPolicy::Keep => {}
            SessionLostPolicy::End => {
                let message = "its session stayed away for longer than its grace".to_owned();
                self.begin_ending(ctx, uid, ApplicationState::Failed, "session", message, Default::default());
            }
        }
    }

    /// Sends the final event to the session of an ended application, and ends the session.
    pub(crate) fn end_session_if_over(&mut self, uid: ApplicationUid) {
        let Some(application) = self.applications.get_mut(uid) else { return };
        let record = &application.record;
        let Some(ending) = record.ending.as_ref().filter(|_| record.state.is_terminal() && application.connected)
        else {
            return;
        };
        let event = ApplicationEvent::ApplicationEnded {
            state: record.state,
            by: ending.by.clone(),
            message: ending.message.clone(),
        };
        let session = application.session;
        application.connected = false;
        self.out.effect(Effect::Session(uid, session, event));
        self.out.effect(Effect::EndSession(uid, session, SessionEnd::Ended));
    }
}
