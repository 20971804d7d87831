//! Applications and their executors: registration, sessions, targets and ends.

mod compaction;
mod demand;
mod ending;
mod executor;
mod grant;
mod kill;
mod register;
mod session;
mod targets;

pub(crate) use register::NewApplication;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use muster_types::{ApplicationRecord, ApplicationUid, AttemptNumber, DriverId, DriverUid, Now, RequestId, Write};

use crate::core::{Core, Ctx};
use crate::idempotency::{Lookup, RequestEffect, RequestKind};
use crate::{CallId, ProfileTarget, Rejection};

/// Request ids kept in an application's record.
const KEPT_APPLICATION_REQUESTS: usize = 32;

pub(crate) struct ExecutorRequest {
    pub(crate) sequence: u64,
    pub(crate) targets: Vec<ProfileTarget>,
    pub(crate) excluded_hosts: BTreeSet<String>,
}

/// An application's message that it is done.
pub(crate) struct UnregisterRequest {
    pub(crate) success: bool,
    pub(crate) message: String,
    pub(crate) grace: Duration,
}

/// The attempt of a driver that an application belongs to.
type OwningAttempt = (DriverUid, DriverId, AttemptNumber);

impl Core {
    /// The open attempt that a token belongs to; `None` without a token (client mode).
    fn attempt_of(&self, token: Option<&str>) -> Result<Option<OwningAttempt>, Rejection> {
        let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(None) };
        let mut parts = token.splitn(3, '.');
        let uid = parts.next().and_then(|text| text.parse::<DriverUid>().ok());
        let number = parts.next().and_then(|text| text.parse::<u32>().ok()).map(AttemptNumber);
        let driver = uid.and_then(|uid| self.drivers.get(uid));
        let open = driver.and_then(|driver| driver.open_attempt().map(|attempt| (driver, attempt)));
        match open {
            Some((driver, attempt)) if Some(attempt.number) == number && attempt.token.expose() == token => {
                Ok(Some((driver.record.uid, driver.record.id.clone(), attempt.number)))
            }
            Some((_, attempt)) => Err(fenced(number, &format!("attempt {}", attempt.number))),
            None => Err(fenced(number, "no open attempt")),
        }
    }

    /// The named application, if the caller may act for it. An application of a driver's attempt
    /// requires that attempt's token.
    fn application_for(&self, name: &str, token: Option<&str>) -> Result<ApplicationUid, Rejection> {
        let Some(application) = self.applications.find(name) else {
            return Err(Rejection::NotFound { kind: "application", name: name.to_owned() });
        };
        let Some((driver, _, attempt)) = &application.record.driver else { return Ok(application.record.uid) };
        match self.attempt_of(token)? {
            Some((uid, _, number)) if uid == *driver && number == *attempt => Ok(application.record.uid),
            Some((_, _, number)) => Err(fenced(Some(number), &format!("attempt {attempt}"))),
            None => Err(fenced(None, &format!("attempt {attempt}"))),
        }
    }

    /// Whether a request is new. If it was carried out before, `repeat` answers it.
    fn is_new_request(
        &mut self,
        call: CallId,
        uid: ApplicationUid,
        request: Option<&RequestId>,
        verb: RequestKind,
        repeat: impl FnOnce(&mut Core),
    ) -> bool {
        match request.map_or(Lookup::New, |request| self.requests.see(request)) {
            Lookup::New => return true,
            Lookup::Expired => self.reply(call, Err(Rejection::RequestIdExpired)),
            Lookup::Before(made) if made.is_same(RequestEffect::OnApplication(uid, Some(verb))) => repeat(self),
            Lookup::Before(_) => self.reply(call, Err(Rejection::RequestIdReused)),
        }
        false
    }

    fn note_application_request(
        &mut self,
        ctx: &Ctx<'_>,
        request: Option<&RequestId>,
        uid: ApplicationUid,
        verb: RequestKind,
    ) {
        if let Some(request) = request {
            self.requests.remember(ctx.now.wall, request.clone(), RequestEffect::OnApplication(uid, Some(verb)));
        }
    }

    /// Writes a new version of an application's record.
    pub(crate) fn put_application(
        &mut self,
        now: Now,
        uid: ApplicationUid,
        request: Option<RequestId>,
        change: impl FnOnce(&mut ApplicationRecord),
    ) {
        let Some(application) = self.applications.get_mut(uid) else { return };
        let (next_executor, next_record) = (application.next_executor, application.next_record);
        let record = Arc::make_mut(&mut application.record);
        record.version += 1;
        record.updated = now.wall;
        record.next_executor = next_executor;
        record.next_executors_record = next_record;
        record.requests.extend(request);
        let surplus = record.requests.len().saturating_sub(KEPT_APPLICATION_REQUESTS);
        record.requests.drain(..surplus);
        change(record);
        self.out.write(Write::PutApplication(Arc::clone(&application.record)));
        self.out.touched.applications.insert(uid);
    }

    fn refuse_over(&mut self, call: CallId, uid: ApplicationUid) -> bool {
        let Some(application) = self.applications.get(uid).filter(|application| application.is_over()) else {
            return false;
        };
        let subject = format!("application {}", application.record.id);
        let message = format!("it is {}", application.live().as_str());
        self.reply(call, Err(Rejection::WrongState { subject, message }));
        true
    }
}

fn fenced(got: Option<AttemptNumber>, have: &str) -> Rejection {
    let got =
        got.map_or_else(|| "a call without the token of an attempt".to_owned(), |number| format!("attempt {number}"));
    Rejection::Fenced { got, have: have.to_owned() }
}
