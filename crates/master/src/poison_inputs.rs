//! Inputs that made the core panic are refused for a while, so that one client cannot bring the
//! leader down again and again.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use muster_core::{Input, Request};
use muster_types::{Time, WorkerUid};

/// How long an input is refused: long enough that a client that retries gives up.
const REFUSED_FOR: Duration = Duration::from_secs(300);
/// The number of inputs that are remembered. The oldest is forgotten first.
const REMEMBERED: usize = 256;

/// Identifies an input. It leaves the request id out, because a client that tries again makes a new
/// one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct InputDigest(u64);

/// Hashes text as it is written, without gathering it.
struct HashedText(DefaultHasher);

impl fmt::Write for HashedText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

impl InputDigest {
    fn of(text: fmt::Arguments<'_>) -> InputDigest {
        let mut hashed = HashedText(DefaultHasher::new());
        // Hashing does not fail.
        let _ = hashed.write_fmt(text);
        InputDigest(hashed.0.finish())
    }

    /// The digest of a client's request.
    pub(crate) fn of_request(request: &Request) -> InputDigest {
        let mut request = request.clone();
        if let Some(id) = request_id_mut(&mut request) {
            *id = None;
        }
        InputDigest::of(format_args!("{request:?}"))
    }

    /// The digest of a worker, whatever it sent.
    pub(crate) fn of_worker(worker: WorkerUid) -> InputDigest {
        InputDigest::of(format_args!("worker {worker}"))
    }

    /// The digest of an input; `None` if nobody in particular sent it.
    pub(crate) fn of_input(input: &Input) -> Option<InputDigest> {
        match input {
            Input::Hello(link, _) | Input::Inventory(link, ..) | Input::Reports(link, _) | Input::LinkBroken(link) => {
                Some(InputDigest::of_worker(link.worker))
            }
            Input::Call(_, request) => Some(InputDigest::of_request(request)),
            Input::SessionBroken(..) | Input::Expired(_) | Input::Tick => None,
        }
    }
}

/// The id that makes a request idempotent.
pub(crate) fn request_id_mut(request: &mut Request) -> Option<&mut Option<muster_types::RequestId>> {
    match request {
        Request::SubmitDriver { request, .. }
        | Request::KillDriver { request, .. }
        | Request::RegisterApplication { request, .. }
        | Request::RequestExecutors { request, .. }
        | Request::KillExecutors { request, .. }
        | Request::Unregister { request, .. }
        | Request::KillApplication { request, .. }
        | Request::Drain { request, .. }
        | Request::Undrain { request, .. }
        | Request::Forget { request, .. }
        | Request::Revoke { request, .. }
        | Request::ForgetAttempt { request, .. }
        | Request::EndQuarantined { request, .. } => Some(request),
        Request::ExplainDriver { .. }
        | Request::ExplainApplication { .. }
        | Request::OpenSession { .. }
        | Request::CreateToken { .. }
        | Request::RevokeToken { .. }
        | Request::BindRole { .. } => None,
    }
}

/// The inputs that are refused. They outlive the role that one of them ended.
#[derive(Debug, Default)]
pub(crate) struct PoisonInputs {
    any: AtomicBool,
    until: Mutex<BTreeMap<InputDigest, Time>>,
}

impl PoisonInputs {
    /// Refuses an input from now on.
    pub(crate) fn add(&self, digest: InputDigest, now: Time) {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.insert(digest, now + REFUSED_FOR);
        while until.len() > REMEMBERED {
            let oldest = until.iter().min_by_key(|(_, until)| **until).map(|(digest, _)| *digest);
            oldest.and_then(|oldest| until.remove(&oldest));
        }
        self.any.store(true, Ordering::Release);
    }

    /// Whether an input is refused. Costs nothing while none is.
    pub(crate) fn refuses(&self, now: Time, digest: impl FnOnce() -> InputDigest) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.retain(|_, until| *until > now);
        if until.is_empty() {
            self.any.store(false, Ordering::Release);
        }
        until.contains_key(&digest())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kill(driver: &str, request: Option<&str>) -> Request {
        Request::KillDriver {
            driver: driver.into(),
            request: request.map(Into::into),
            version: None,
            by: muster_types::KilledBy::Operator,
        }
    }

    #[test]
    fn a_new_request_id_does_not_make_it_another() {
        assert_eq!(InputDigest::of_request(&kill("a", Some("1"))), InputDigest::of_request(&kill("a", Some("2"))));
        assert_ne!(InputDigest::of_request(&kill("a", None)), InputDigest::of_request(&kill("b", None)));
    }

    #[test]
    fn is_refused_for_a_while() {
        let (refused, bad) = (PoisonInputs::default(), InputDigest::of_request(&kill("a", None)));
        assert!(!refused.refuses(Time(0), || bad));
        refused.add(bad, Time(0));
        assert!(refused.refuses(Time(1), || bad));
        assert!(!refused.refuses(Time(1), || InputDigest(1)));
        assert!(!refused.refuses(Time(0) + REFUSED_FOR, || bad));
    }
}
