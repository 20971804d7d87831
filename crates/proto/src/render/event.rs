//! Events.

use muster_types::{Event, Subject};

use crate::time::timestamp;
use crate::tokens::ResumeToken;
use crate::v1;

/// An event with the token that follows it.
pub fn event(event: &Event, token: ResumeToken) -> v1::Event {
    v1::Event {
        resume_token: token.to_string(),
        time: Some(timestamp(event.time)),
        message: event.message.clone(),
        subject: Some(subject(&event.subject)),
    }
}

fn subject(subject: &Subject) -> v1::event::Subject {
    use v1::event::Subject as Wire;
    match subject {
        Subject::Driver { id, uid, state, attempt, worker, outcome } => Wire::Driver(v1::DriverEvent {
            driver_id: id.as_str().to_owned(),
            uid: uid.to_string(),
            state: v1::driver::State::from(*state).into(),
            attempt: attempt.map_or(0, |attempt| attempt.0),
            worker: worker.as_ref().map(|worker| worker.as_str().to_owned()).unwrap_or_default(),
            outcome: outcome.as_ref().map(Into::into),
        }),
        Subject::Application { id, uid, state } => Wire::Application(v1::ApplicationEvent {
            application_id: id.as_str().to_owned(),
            uid: uid.to_string(),
            state: v1::application::State::from(*state).into(),
        }),
        Subject::Executor { application, uid, executor, profile, state, worker, outcome } => {
            Wire::Executor(v1::ExecutorEvent {
                application_id: application.as_str().to_owned(),
                executor_id: executor.0,
                profile_id: profile.0,
                state: v1::executor::State::from(*state).into(),
                worker: worker.as_str().to_owned(),
                outcome: outcome.as_ref().map(Into::into),
                application_uid: uid.to_string(),
            })
        }
        Subject::Worker { name, uid, state, draining } => Wire::Worker(v1::WorkerEvent {
            name: name.as_str().to_owned(),
            uid: uid.to_string(),
            state: v1::worker::State::from(*state).into(),
            draining: *draining,
        }),
        Subject::Token { id, name, revoked } => {
            Wire::Token(v1::TokenEvent { token_id: id.to_string(), holder: name.clone(), revoked: *revoked })
        }
        Subject::RoleBinding { principal, role } => Wire::RoleBinding(super::role_binding(principal, *role)),
    }
}
