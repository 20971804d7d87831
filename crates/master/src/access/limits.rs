//! How much one caller may ask for, so that none takes the master from the others.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use governor::clock::Clock as _;
use governor::{DefaultDirectRateLimiter, Quota};
use muster_proto::errors::Failure;
use muster_proto::methods::Method;
use muster_types::Caller;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Callers that are told apart. Those beyond share what one may ask for.
const MAX_CALLERS: usize = 65_536;
/// A burst may have the submissions of so many seconds.
const BURST_SECONDS: u32 = 5;

/// What each user and each attempt may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallerLimits {
    /// Calls at one time that end with their answer.
    pub calls: u32,
    /// Streams at one time.
    pub streams: u32,
    /// Drivers and applications a second.
    pub submissions: NonZeroU32,
}

/// What callers are asking for.
#[derive(Debug)]
pub(crate) struct CallLimiter {
    limits: CallerLimits,
    callers: Mutex<HashMap<String, Arc<Usage>>>,
}

#[derive(Debug)]
struct Usage {
    calls: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    submissions: DefaultDirectRateLimiter,
}

impl Usage {
    fn new(limits: CallerLimits) -> Usage {
        let places = |most: u32| Arc::new(Semaphore::new(usize::try_from(most).unwrap_or(Semaphore::MAX_PERMITS)));
        let burst = limits.submissions.saturating_mul(NonZeroU32::MIN.saturating_add(BURST_SECONDS - 1));
        Usage {
            calls: places(limits.calls),
            streams: places(limits.streams),
            submissions: DefaultDirectRateLimiter::direct(Quota::per_second(limits.submissions).allow_burst(burst)),
        }
    }
}

/// A call that counts until this is dropped.
#[derive(Debug)]
pub(crate) struct CallPlace {
    _place: OwnedSemaphorePermit,
    /// Keeps the entry of the caller.
    _usage: Arc<Usage>,
}

impl CallLimiter {
    pub(crate) fn new(limits: CallerLimits) -> CallLimiter {
        CallLimiter { limits, callers: Mutex::default() }
    }

    /// A place for a call. Workers have none: each has one stream, which the master counts on. Nor
    /// have programs in the clear, who are not told apart.
    pub(crate) fn admit(&self, method: Method, caller: &Caller) -> Result<Option<CallPlace>, Failure> {
        match caller {
            Caller::User { .. } | Caller::Attempt { .. } => {}
            Caller::Anonymous
            | Caller::Unbound { .. }
            | Caller::Local
            | Caller::Worker(_)
            | Caller::AnyWorker { .. }
            | Caller::AnyAttempt
            | Caller::Joining { .. } => return Ok(None),
        }
        let usage = self.usage(caller.to_string());
        let refused = |what: &'static str, wait| Failure::RateLimited { caller: caller.to_string(), what, wait };
        let (places, what) = match method.answers_with_a_stream() {
            true => (&usage.streams, "streams at one time"),
            false => (&usage.calls, "calls at one time"),
        };
        let place = places.clone().try_acquire_owned().map_err(|_| refused(what, None))?;
        if matches!(method, Method::MasterSubmitDriver | Method::ApplicationRegisterApplication) {
            usage.submissions.check().map_err(|until| {
                let wait = until.wait_time_from(governor::clock::DefaultClock::default().now());
                refused("submissions a second", Some(wait))
            })?;
        }
        Ok(Some(CallPlace { _place: place, _usage: usage }))
    }

    fn usage(&self, caller: String) -> Arc<Usage> {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(usage) = callers.get(&caller) {
            return usage.clone();
        }
        if callers.len() >= MAX_CALLERS {
            // Whoever asks for nothing now begins anew, with a full burst.
            callers.retain(|_, usage| Arc::strong_count(usage) > 1);
        }
        let caller = if callers.len() >= MAX_CALLERS { String::new() } else { caller };
        callers.entry(caller).or_insert_with(|| Arc::new(Usage::new(self.limits))).clone()
    }
}

#[cfg(test)]
mod tests {
    use muster_types::{AttemptNumber, DriverUid, Role, WorkerUid};

    use super::*;

    fn ann() -> Caller {
        Caller::User { name: "ann".to_owned(), role: Role::Operator }
    }

    fn limiter() -> CallLimiter {
        CallLimiter::new(CallerLimits { calls: 2, streams: 1, submissions: NonZeroU32::MIN })
    }

    #[test]
    fn a_place_is_free_again_once_its_call_has_ended() {
        let limiter = limiter();
        let admit = |caller: &Caller| limiter.admit(Method::MasterListDrivers, caller);
        let first = admit(&ann()).unwrap();
        let _second = admit(&ann()).unwrap();
        let refused = admit(&ann()).unwrap_err();
        assert_eq!(refused.reason(), "RATE_LIMITED");
        assert!(limiter.admit(Method::MasterWatchEvents, &ann()).is_ok(), "streams have places of their own");
        // Another role is the same user, and others are not kept out.
        assert!(admit(&Caller::User { name: "ann".to_owned(), role: Role::Viewer }).is_err());
        let attempt = Caller::Attempt { driver: DriverUid(1), number: AttemptNumber(1) };
        assert!(admit(&attempt).is_ok());
        drop(first);
        assert!(admit(&ann()).is_ok());
    }

    #[test]
    fn a_burst_of_submissions_is_followed_by_a_wait() {
        let limiter = limiter();
        let submit = || limiter.admit(Method::MasterSubmitDriver, &ann());
        assert!((0..BURST_SECONDS).all(|_| submit().is_ok()));
        let Err(Failure::RateLimited { wait: Some(wait), .. }) = submit() else { panic!("it was admitted") };
        assert!(!wait.is_zero() && wait.as_secs() < 2, "{wait:?}");
        assert!(limiter.admit(Method::MasterKillDriver, &ann()).is_ok());
    }

    #[test]
    fn workers_and_loopback_are_not_limited() {
        let limiter = limiter();
        for caller in [Caller::Worker(WorkerUid(1)), Caller::AnyWorker { name: "w".to_owned() }, Caller::Local] {
            let held: Vec<_> = (0..10).map(|_| limiter.admit(Method::WorkerLinkLink, &caller).unwrap()).collect();
            assert!(held.iter().all(Option::is_none), "{caller}");
        }
    }
}
