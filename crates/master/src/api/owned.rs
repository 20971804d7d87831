//! Whose a driver or an application is, for calls that are for its owner and operators.
//!
//! The owner is judged on the view, and the core is then told the uid: a name could be another's by
//! the time the core looks it up. What is not in the view yet is an operator's alone, because no
//! answer has named it to its owner.

use muster_proto::FieldViolations;
use muster_proto::errors::Failure;
use muster_types::{ApplicationUid, Caller, DriverUid, Role, Secret};

use crate::access::{is_of_revoked_worker, unknown};
use crate::leader::LeaderContext;

/// The driver of a name or uid, which the caller may command; `None` if only the core may know it.
pub(crate) fn driver(leading: &LeaderContext, caller: &Caller, name: &str) -> Result<Option<DriverUid>, Failure> {
    match leading.view.driver(name).1 {
        Some(shown) => {
            check(caller, shown.record.owner.as_deref(), "driver", name)?;
            Ok(Some(shown.record.uid))
        }
        None => unseen(caller, "driver", name).map(|()| None),
    }
}

/// The same for an application.
pub(crate) fn application(
    leading: &LeaderContext,
    caller: &Caller,
    name: &str,
) -> Result<Option<ApplicationUid>, Failure> {
    match leading.view.application(name).1 {
        Some(shown) => {
            check(caller, shown.record.owner.as_deref(), "application", name)?;
            Ok(Some(shown.record.uid))
        }
        None => unseen(caller, "application", name).map(|()| None),
    }
}

/// The application that a caller steers, as the core is told. One of a driver's attempt obeys that
/// attempt's token alone, which the core verifies; one in client mode obeys its owner and
/// operators.
pub(crate) fn steered(
    leading: &LeaderContext,
    caller: &Caller,
    name: String,
    token: Option<&Secret>,
) -> Result<String, Failure> {
    check_attempt(leading, caller, token)?;
    match leading.view.application(&name).1 {
        Some(shown) if shown.record.driver.is_some() => Ok(name),
        Some(shown) => {
            check(caller, shown.record.owner.as_deref(), "application", &name)?;
            Ok(shown.record.uid.to_string())
        }
        // An attempt's token is verified by the core, whatever the name stands for by then.
        None if token.is_some() => Ok(name),
        None => unseen(caller, "application", &name).map(|()| name),
    }
}

/// An attempt that calls under its own credential acts for itself: the token in its message must be
/// its own, too. A program in the clear has no other credential than that token, which the core
/// verifies.
pub(crate) fn check_attempt(leading: &LeaderContext, caller: &Caller, token: Option<&Secret>) -> Result<(), Failure> {
    match (caller, token) {
        (Caller::Attempt { driver, number }, token) => {
            let own = format!("{driver}.{number}.");
            if token.is_some_and(|token| token.expose().starts_with(&own)) {
                return Ok(());
            }
            let message = "an attempt sends its token here, too";
            Err(Failure::BadRequest(FieldViolations::of("driver_token", message)))
        }
        (Caller::AnyAttempt, None) => Err(Failure::NoCredential),
        (Caller::AnyAttempt, Some(token)) if is_of_revoked_worker(&leading.view, token.expose()) => Err(unknown()),
        _ => Ok(()),
    }
}

/// Whether a caller may command what has this owner.
pub(crate) fn check(caller: &Caller, owner: Option<&str>, kind: &'static str, name: &str) -> Result<(), Failure> {
    if caller.commands(owner) {
        return Ok(());
    }
    Err(Failure::NotOwner { caller: caller.to_string(), kind, name: name.to_owned() })
}

fn unseen(caller: &Caller, kind: &'static str, name: &str) -> Result<(), Failure> {
    if caller.role() >= Some(Role::Operator) {
        return Ok(());
    }
    Err(Failure::NotFound { kind, name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_yet_is_an_operators_alone() {
        for (role, may) in Role::ALL.into_iter().zip([false, false, true, true]) {
            let caller = Caller::User { name: "ann".to_owned(), role };
            assert_eq!(unseen(&caller, "driver", "new").is_ok(), may, "{role}");
        }
        assert!(matches!(unseen(&Caller::Anonymous, "driver", "new"), Err(Failure::NotFound { .. })));
    }
}
