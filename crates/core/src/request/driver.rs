//! Submission of drivers, and the explanation why one waits.

use std::sync::Arc;

use muster_types::{
    DriverId, DriverRecord, DriverSpec, DriverState, DriverUid, PendingCause, PendingReason, RequestId, TraceContext,
    Write,
};

use crate::core::{Core, Ctx};
use crate::idempotency::{Lookup, RequestEffect};
use crate::placement::explain;
use crate::state::Driver;
use crate::variables::shape_of_driver;
use crate::{Answer, CallId, DriverView, Effect, Rejection};

/// A driver that is asked for.
#[derive(Debug)]
pub(crate) struct NewDriver {
    pub(crate) id: Option<DriverId>,
    pub(crate) spec: Arc<DriverSpec>,
    pub(crate) owner: Option<Arc<str>>,
    pub(crate) trace: Option<TraceContext>,
}

impl Core {
    pub(crate) fn reply(&mut self, call: CallId, answer: Result<Answer, Rejection>) {
        self.out.effect(Effect::Reply(call, answer));
    }

    pub(crate) fn reply_driver(&mut self, call: CallId, uid: DriverUid) {
        if let Some(shown) = self.shown_driver(uid) {
            self.reply(call, Ok(Answer::Driver(shown)));
        }
    }

    pub(crate) fn submit_driver(
        &mut self,
        ctx: &mut Ctx<'_>,
        call: CallId,
        new: NewDriver,
        request: Option<RequestId>,
        validate_only: bool,
    ) {
        if validate_only {
            return self.validate_driver(ctx, call, new);
        }
        match request.as_ref().map_or(Lookup::New, |request| self.requests.see(request)) {
            Lookup::New => {}
            Lookup::Expired => return self.reply(call, Err(Rejection::RequestIdExpired)),
            Lookup::Before(RequestEffect::Driver(uid)) => return self.repeat_submission(call, uid, &new),
            Lookup::Before(_) => return self.reply(call, Err(Rejection::RequestIdReused)),
        }
        if let Some(rejection) = self.refuse_name(new.id.as_ref()) {
            return self.reply(call, Err(rejection));
        }
        if let Some(rejection) = self.refuse_variables_of_driver(&new.spec) {
            return self.reply(call, Err(rejection));
        }
        if self.waiting.len() >= self.config.max_waiting {
            return self.reply(call, Err(Rejection::QueueFull { what: "waiting drivers".to_owned() }));
        }
        let record = new_record(ctx, self.cluster.generation, new, request.clone());
        let uid = record.uid;
        if let Some(request) = request {
            self.requests.remember(ctx.now.wall, request, RequestEffect::Driver(uid));
        }
        let shape = shape_of_driver(&record.spec, record.owner.as_ref());
        self.out.write(Write::PutDriver(Arc::clone(&record)));
        self.drivers.insert(Driver::new(record));
        self.waiting.push(uid, shape);
        self.emit_driver_event(ctx.now.wall, uid, None, "submitted");
        self.reply_driver(call, uid);
    }

    /// Answers a repeated request id: with the driver, if the request is the same and of the same
    /// user.
    fn repeat_submission(&mut self, call: CallId, uid: DriverUid, new: &NewDriver) {
        let Some(driver) = self.drivers.get(uid) else {
            // Its record was removed before its id was. The request was carried out, but its result
            // is gone.
            return self.reply(call, Err(Rejection::RequestIdExpired));
        };
        let same_name = match &new.id {
            Some(id) => *id == driver.record.id,
            None => driver.record.id == generated_name(uid),
        };
        if same_name && driver.record.owner == new.owner && *driver.record.spec == *new.spec {
            self.reply_driver(call, uid);
        } else {
            self.reply(call, Err(Rejection::RequestIdReused));
        }
    }

    fn refuse_name(&self, id: Option<&DriverId>) -> Option<Rejection> {
        let id = id.filter(|id| self.drivers.has_name(id.as_str()))?;
        Some(Rejection::AlreadyExists { kind: "driver", name: id.to_string() })
    }

    /// Answers what a submission would do, and stores nothing.
    fn validate_driver(&mut self, ctx: &mut Ctx<'_>, call: CallId, new: NewDriver) {
        if let Some(rejection) = self.refuse_name(new.id.as_ref()) {
            return self.reply(call, Err(rejection));
        }
        if let Some(rejection) = self.refuse_variables_of_driver(&new.spec) {
            return self.reply(call, Err(rejection));
        }
        let shape = shape_of_driver(&new.spec, new.owner.as_ref());
        let reason = explain(&self.fleet, &shape, &self.config.policy);
        if reason.never_fits {
            return self.reply(call, Err(Rejection::NeverFits(Box::new(reason))));
        }
        let fits = crate::placement::fits_now(&self.fleet, &shape, &self.config.policy);
        let record = new_record(ctx, self.cluster.generation, new, None);
        let shown = DriverView {
            record,
            pid: None,
            retry: None,
            pending: if fits { None } else { Some(reason) },
            wait_channel: None,
            applications: Vec::new(),
        };
        self.reply(call, Ok(Answer::Driver(Arc::new(shown))));
    }

    pub(crate) fn explain_driver(&mut self, call: CallId, name: &str) {
        let Some(driver) = self.drivers.find(name) else {
            let name = name.to_owned();
            return self.reply(call, Err(Rejection::NotFound { kind: "driver", name }));
        };
        let reason = self.why_waiting(driver);
        let uid = driver.record.uid;
        if let Some(mut shown) = self.shown_driver(uid) {
            Arc::make_mut(&mut shown).pending = reason;
            self.reply(call, Ok(Answer::Driver(shown)));
        }
    }

    fn why_waiting(&self, driver: &Driver) -> Option<PendingReason> {
        if self.restore.holds(driver.record.uid) {
            return Some(self.explain_hold(driver));
        }
        match driver.live {
            DriverState::Pending => {
                let shape = shape_of_driver(&driver.record.spec, driver.record.owner.as_ref());
                let mut reason = explain(&self.fleet, &shape, &self.config.policy);
                if self.config.policy.max_drivers.is_some_and(|most| self.drivers.placed >= most) {
                    let sentence = format!("{} drivers run, and no more may", self.drivers.placed);
                    reason.causes.insert(0, (PendingCause::DriverLimit, 0, sentence));
                }
                Some(reason)
            }
            DriverState::BackingOff => Some(PendingReason {
                causes: vec![(PendingCause::Backoff, 0, "waits before its next attempt".to_owned())],
                ..PendingReason::default()
            }),
            DriverState::Launching
            | DriverState::Running
            | DriverState::Killing
            | DriverState::Unreachable
            | DriverState::Unconfirmed
            | DriverState::Finished
            | DriverState::Failed
            | DriverState::Killed
            | DriverState::Lost
            | DriverState::CrashLoop => None,
        }
    }
}

/// `driver-` and the first 12 characters of the uid.
fn generated_name(uid: DriverUid) -> DriverId {
    DriverId::new(format!("driver-{}", &uid.to_string()[..12]))
}

fn new_record(ctx: &mut Ctx<'_>, generation: u64, new: NewDriver, request: Option<RequestId>) -> Arc<DriverRecord> {
    let NewDriver { id, spec, owner, trace } = new;
    let uid = DriverUid(ctx.entropy.next());
    Arc::new(DriverRecord {
        uid,
        id: id.unwrap_or_else(|| generated_name(uid)),
        spec,
        request,
        owner,
        trace,
        state: DriverState::Pending,
        created: ctx.now.wall,
        updated: ctx.now.wall,
        ended: None,
        attempts: Vec::new(),
        kill: None,
        failures: Vec::new(),
        consecutive_failures: 0,
        generation,
        version: 1,
    })
}
