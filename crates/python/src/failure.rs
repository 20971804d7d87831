//! What went wrong, in the form that the package makes its exceptions from.

use std::error::Error;

use muster_client::{CallError, FieldViolation, Verdict, WaitError};
use muster_sdk::StartError;
use serde_json::{Value, json};

use crate::json::{WireJsonError, to_json};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallFailure {
    /// A call failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A wait took too long.
    #[error("{0}")]
    Wait(Box<WaitError>),
    /// The package asked for what this module does not have, or sent what is no request.
    #[error("{0}")]
    Json(#[from] WireJsonError),
    /// The file of this module cannot be read.
    #[error("the file of the native module cannot be read: {0}")]
    Library(std::io::Error),
    /// No driver's side for tasks can be had.
    #[error("{}", with_causes(.0))]
    Start(StartError),
    /// There is no method of this name.
    #[error("there is no method {0:?}")]
    NoMethod(String),
}

impl From<WaitError> for CallFailure {
    fn from(error: WaitError) -> CallFailure {
        match error {
            WaitError::Call(error) => CallFailure::Call(error),
            timed_out @ WaitError::TimedOut(_) => CallFailure::Wait(Box::new(timed_out)),
        }
    }
}

impl From<StartError> for CallFailure {
    fn from(error: StartError) -> CallFailure {
        match error {
            StartError::Register(error) => CallFailure::Call(error),
            error => CallFailure::Start(error),
        }
    }
}

impl CallFailure {
    /// As JSON: its kind, a sentence for people, and what a program can act on.
    pub(crate) fn to_json(&self) -> String {
        self.value().to_string()
    }

    fn value(&self) -> Value {
        match self {
            CallFailure::Call(error) => call(error),
            CallFailure::Wait(error) => {
                let driver = match error.as_ref() {
                    WaitError::TimedOut(driver) => to_json("Driver", driver.as_ref()).ok(),
                    WaitError::Call(_) => None,
                };
                json!({"kind": "timeout", "message": self.to_string(), "driver": driver})
            }
            CallFailure::Library(_) | CallFailure::Start(_) => json!({"kind": "start", "message": self.to_string()}),
            CallFailure::Json(_) | CallFailure::NoMethod(_) => {
                json!({"kind": "request", "message": with_causes(self)})
            }
        }
    }
}

fn call(error: &CallError) -> Value {
    let verdict = match error.verdict {
        Verdict::NotApplied => "not applied",
        Verdict::Unknown => "unknown",
    };
    let field = |violation: FieldViolation| json!({"field": violation.field, "message": violation.message});
    json!({
        "kind": "call",
        "message": error.to_string(),
        "code": format!("{:?}", error.code()),
        "reason": error.reason(),
        "metadata": error.metadata(),
        "violations": error.violations().into_iter().map(field).collect::<Vec<_>>(),
        "method": error.method,
        "address": error.address,
        "tries": error.tries,
        "verdict": verdict,
        "unreachable": error.is_unreachable(),
    })
}

/// An error with the causes below it, in one line.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(below) = cause {
        let below_text = below.to_string();
        if !text.contains(&below_text) {
            text.push_str(": ");
            text.push_str(&below_text);
        }
        cause = below.source();
    }
    text
}
