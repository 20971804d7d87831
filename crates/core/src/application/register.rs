//! Registration of applications, and the reasons for unmet targets.

use std::sync::Arc;

use muster_types::{
    ApplicationId, ApplicationRecord, ApplicationSpec, ApplicationState, ApplicationUid, ExecutorId, Outcome,
    PendingCause, PendingReason, RequestId, TraceContext, Write,
};

use super::OwningAttempt;
use crate::core::{Core, Ctx};
use crate::idempotency::{Lookup, RequestEffect};
use crate::placement::explain;
use crate::state::Application;
use crate::timers::Timer;
use crate::{Answer, CallId, Rejection, SessionNumber};

/// An application that is asked for.
#[derive(Debug)]
pub(crate) struct NewApplication {
    pub(crate) id: Option<ApplicationId>,
    pub(crate) spec: Arc<ApplicationSpec>,
    /// The user who asks.
    pub(crate) owner: Option<Arc<str>>,
    pub(crate) trace: Option<TraceContext>,
}

impl Core {
    pub(crate) fn reply_application(&mut self, call: CallId, uid: ApplicationUid) {
        if let Some(shown) = self.shown_application(uid) {
            self.reply(call, Ok(Answer::Application(shown)));
        }
    }

    pub(crate) fn register_application(
        &mut self,
        ctx: &mut Ctx<'_>,
        call: CallId,
        new: NewApplication,
        request: Option<RequestId>,
        token: Option<&str>,
    ) {
        let attempt = match self.attempt_of(token) {
            Ok(attempt) => attempt,
            Err(rejection) => return self.reply(call, Err(rejection)),
        };
        let behind = attempt.as_ref().and_then(|(driver, _, _)| self.drivers.get(*driver));
        let owner = behind.map_or(new.owner, |driver| driver.record.owner.clone());
        let NewApplication { id, spec, owner, trace } = NewApplication { owner, ..new };
        match request.as_ref().map_or(Lookup::New, |request| self.requests.see(request)) {
            Lookup::New => {}
            Lookup::Expired => return self.reply(call, Err(Rejection::RequestIdExpired)),
            Lookup::Before(RequestEffect::Application(uid)) => {
                let new = NewApplication { id, spec, owner, trace };
                return self.repeat_registration(call, uid, &new, attempt.as_ref());
            }
            Lookup::Before(_) => return self.reply(call, Err(Rejection::RequestIdReused)),
        }
        if let Some(name) = id.as_ref().filter(|id| self.application_name_taken(id, attempt.as_ref())) {
            let name = name.to_string();
            return self.reply(call, Err(Rejection::AlreadyExists { kind: "application", name }));
        }
        let mut profiles = spec.profiles.values();
        let unknown = profiles.find_map(|profile| self.refuse_variables_of_profile(&spec, profile, "application"));
        if let Some(rejection) = unknown {
            return self.reply(call, Err(rejection));
        }
        let uid = ApplicationUid(ctx.entropy.next());
        if let Some(request) = &request {
            self.requests.remember(ctx.now.wall, request.clone(), RequestEffect::Application(uid));
        }
        let leased = attempt.as_ref().is_some_and(|(driver, _, _)| self.is_driver_leased(*driver));
        let generation = self.cluster.generation;
        let record = ApplicationRecord {
            generation,
            ..new_record(ctx, uid, NewApplication { id, spec, owner, trace }, request, attempt)
        };
        self.admit_application(ctx, record, leased);
        self.reply_application(call, uid);
    }

    fn admit_application(&mut self, ctx: &Ctx<'_>, record: ApplicationRecord, leased: bool) {
        let uid = record.uid;
        if let Some((driver, _, _)) = &record.driver
            && let Some(driver) = self.drivers.get_mut(*driver)
        {
            driver.applications.insert(uid);
            self.out.touched.drivers.insert(driver.record.uid);
        }
        let record = Arc::new(record);
        self.out.write(Write::PutApplication(Arc::clone(&record)));
        let mut application = Application::new(record, leased);
        // The session must open within its grace. The first executors are granted before that.
        let at = ctx.now.time + application.record.spec.session_grace;
        application.grace = Some(at);
        self.timers.arm(at, Timer::Session(uid, SessionNumber(0)));
        self.applications.insert(application);
        self.refresh_demand(ctx.now, uid);
        self.emit_application_event(ctx.now.wall, uid, "registered");
    }

    /// Answers a repeated request id: with the application, if the same was registered for the same
    /// attempt and user.
    fn repeat_registration(
        &mut self,
        call: CallId,
        uid: ApplicationUid,
        new: &NewApplication,
        attempt: Option<&OwningAttempt>,
    ) {
        let Some(application) = self.applications.get(uid) else {
            return self.reply(call, Err(Rejection::RequestIdExpired));
        };
        let record = &application.record;
        let same_name = match &new.id {
            Some(id) => *id == record.id,
            None => record.id == generated_name(uid),
        };
        let same_owner = record.owner == new.owner && record.driver.as_ref() == attempt;
        if same_name && same_owner && *record.spec == *new.spec {
            self.reply_application(call, uid);
        } else {
            self.reply(call, Err(Rejection::RequestIdReused));
        }
    }

    /// Whether a name is taken. The name of an ended application is free for its own driver's next
    /// attempt.
    fn application_name_taken(&self, id: &ApplicationId, attempt: Option<&OwningAttempt>) -> bool {
        let Some(holder) = self.applications.find(id.as_str()).filter(|holder| holder.record.id == *id) else {
            return false;
        };
        let same_driver = match (&holder.record.driver, attempt) {
            (Some((held, _, _)), Some((asking, _, _))) => held == asking,
            (None, _) | (_, None) => false,
        };
        !(same_driver && holder.record.state.is_terminal())
    }

    fn is_driver_leased(&self, uid: muster_types::DriverUid) -> bool {
        self.drivers.get(uid).is_some_and(|driver| driver.is_leased())
    }

    pub(crate) fn explain_application(&mut self, call: CallId, name: &str) {
        let Some(uid) = self.applications.find(name).map(|application| application.record.uid) else {
            let name = name.to_owned();
            return self.reply(call, Err(Rejection::NotFound { kind: "application", name }));
        };
        let Some(mut shown) = self.shown_application(uid) else { return };
        for profile in &mut Arc::make_mut(&mut shown).profiles {
            profile.pending = self.why_unmet(uid, profile.profile).map(|(_, reason)| reason);
        }
        self.reply(call, Ok(Answer::Application(shown)));
    }

    /// How many executors of a profile are missing, and why.
    pub(crate) fn why_unmet(
        &self,
        uid: ApplicationUid,
        profile: muster_types::ProfileId,
    ) -> Option<(u32, PendingReason)> {
        let application = self.applications.get(uid).filter(|application| !application.is_over())?;
        let missing = application.target(profile).saturating_sub(application.counts(profile).counted);
        if missing == 0 {
            return None;
        }
        let mut reason = match application.shapes.get(&profile) {
            Some(shape) => explain(&self.fleet, shape, &self.config.policy),
            None => PendingReason::default(),
        };
        let cores = application.profile(profile).map_or(1, |profile| profile.resources.cores.max(1));
        let left = self.config.policy.cores_left(application.record.spec.max_cores, application.cores());
        if left < u64::from(cores) {
            let sentence = format!("its limit of cores leaves {left}");
            reason.causes.insert(0, (PendingCause::CoreLimit, 0, sentence));
        }
        if application.backoff.is_some() || application.away {
            let sentence = match application.last_ended().is_some_and(Outcome::is_success) {
                _ if application.away => "its session is away",
                true => "an executor finished; another takes its place after a pause",
                false => "replacements back off",
            };
            reason.causes.insert(0, (PendingCause::Backoff, 0, sentence.to_owned()));
        }
        Some((missing, reason))
    }
}

/// `app-` and the first 12 characters of the uid.
fn generated_name(uid: ApplicationUid) -> ApplicationId {
    ApplicationId::new(format!("app-{}", &uid.to_string()[..12]))
}

fn new_record(
    ctx: &Ctx<'_>,
    uid: ApplicationUid,
    new: NewApplication,
    request: Option<RequestId>,
    attempt: Option<OwningAttempt>,
) -> ApplicationRecord {
    let NewApplication { id, spec, owner, trace } = new;
    ApplicationRecord {
        uid,
        id: id.unwrap_or_else(|| generated_name(uid)),
        targets: spec.profiles.values().map(|profile| (profile.id, profile.target)).collect(),
        spec,
        request,
        driver: attempt,
        owner,
        trace,
        state: ApplicationState::Waiting,
        ending: None,
        added_profiles: Default::default(),
        preferred_hosts: Default::default(),
        excluded_hosts: Default::default(),
        sequence: 0,
        next_executor: ExecutorId(0),
        next_executors_record: 0,
        failures: Vec::new(),
        requests: Vec::new(),
        created: ctx.now.wall,
        updated: ctx.now.wall,
        ended: None,
        generation: 1,
        version: 1,
    }
}
