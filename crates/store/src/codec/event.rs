//! Events.

use muster_types::{
    ApplicationId, ApplicationState, ApplicationUid, AttemptNumber, Commit, DriverId, DriverState, DriverUid, Event,
    EventsRecord, ExecutorId, ExecutorState, ProfileId, Role, Subject, TokenId, WallTime, WorkerName, WorkerState,
    WorkerUid,
};

use super::enums::StoredEnum as _;
use super::proto::event::Subject as StoredSubject;
use super::roles::{from_stored, to_stored};
use super::{DecodeError, Stored, list, optional, proto, required};

impl Stored for EventsRecord {
    type Message = proto::EventsRecord;

    fn to_message(&self) -> proto::EventsRecord {
        proto::EventsRecord { commit: self.commit.0, events: self.events.iter().map(Stored::to_message).collect() }
    }

    fn from_message(message: proto::EventsRecord) -> Result<EventsRecord, DecodeError> {
        Ok(EventsRecord { commit: Commit(message.commit), events: list(message.events)? })
    }
}

impl Stored for Event {
    type Message = proto::Event;

    fn to_message(&self) -> proto::Event {
        let subject = stored_subject(&self.subject);
        proto::Event { time: self.time.0, message: self.message.clone(), subject: Some(subject) }
    }

    fn from_message(message: proto::Event) -> Result<Event, DecodeError> {
        let subject = match required(message.subject, "subject")? {
            StoredSubject::Driver(subject) => driver(subject)?,
            StoredSubject::Application(subject) => application(subject)?,
            StoredSubject::Executor(subject) => executor(subject)?,
            StoredSubject::Worker(subject) => worker(subject)?,
            StoredSubject::Token(subject) => token(subject)?,
            StoredSubject::RoleBinding(subject) => role_binding(subject)?,
        };
        Ok(Event { time: WallTime(message.time), message: message.message, subject })
    }
}

fn stored_subject(subject: &Subject) -> StoredSubject {
    match subject {
        Subject::Driver { id, uid, state, attempt, worker, outcome } => StoredSubject::Driver(proto::DriverSubject {
            id: id.to_string(),
            uid: uid.to_bytes().to_vec(),
            state: state.to_number(),
            attempt: attempt.map(|attempt| attempt.0),
            worker: worker.as_ref().map(WorkerName::to_string),
            outcome: outcome.as_ref().map(Stored::to_message),
        }),
        Subject::Application { id, uid, state } => StoredSubject::Application(proto::ApplicationSubject {
            id: id.to_string(),
            uid: uid.to_bytes().to_vec(),
            state: state.to_number(),
        }),
        Subject::Executor { application, uid, executor, profile, state, worker, outcome } => {
            StoredSubject::Executor(proto::ExecutorSubject {
                application: application.to_string(),
                uid: uid.to_bytes().to_vec(),
                executor: executor.0,
                profile: profile.0,
                state: state.to_number(),
                worker: worker.to_string(),
                outcome: outcome.as_ref().map(Stored::to_message),
            })
        }
        Subject::Worker { name, uid, state, draining } => StoredSubject::Worker(proto::WorkerSubject {
            name: name.to_string(),
            uid: uid.to_bytes().to_vec(),
            state: state.to_number(),
            draining: *draining,
        }),
        Subject::Token { id, name, revoked } => StoredSubject::Token(proto::TokenSubject {
            id: id.to_bytes().to_vec(),
            name: name.clone(),
            revoked: *revoked,
        }),
        Subject::RoleBinding { principal, role } => StoredSubject::RoleBinding(proto::RoleBindingSubject {
            binding: Some(proto::RoleBinding {
                principal: Some(to_stored(principal)),
                role: role.map_or(0, |role| role.to_number()),
            }),
        }),
    }
}

fn driver(subject: proto::DriverSubject) -> Result<Subject, DecodeError> {
    Ok(Subject::Driver {
        id: DriverId::new(subject.id),
        uid: required(DriverUid::from_slice(&subject.uid), "uid")?,
        state: DriverState::from_number(subject.state, "state")?,
        attempt: subject.attempt.map(AttemptNumber),
        worker: subject.worker.map(WorkerName::new),
        outcome: optional(subject.outcome)?,
    })
}

fn application(subject: proto::ApplicationSubject) -> Result<Subject, DecodeError> {
    Ok(Subject::Application {
        id: ApplicationId::new(subject.id),
        uid: required(ApplicationUid::from_slice(&subject.uid), "uid")?,
        state: ApplicationState::from_number(subject.state, "state")?,
    })
}

fn executor(subject: proto::ExecutorSubject) -> Result<Subject, DecodeError> {
    Ok(Subject::Executor {
        application: ApplicationId::new(subject.application),
        uid: required(ApplicationUid::from_slice(&subject.uid), "uid")?,
        executor: ExecutorId(subject.executor),
        profile: ProfileId(subject.profile),
        state: ExecutorState::from_number(subject.state, "state")?,
        worker: WorkerName::new(subject.worker),
        outcome: optional(subject.outcome)?,
    })
}

fn worker(subject: proto::WorkerSubject) -> Result<Subject, DecodeError> {
    Ok(Subject::Worker {
        name: WorkerName::new(subject.name),
        uid: required(WorkerUid::from_slice(&subject.uid), "uid")?,
        state: WorkerState::from_number(subject.state, "state")?,
        draining: subject.draining,
    })
}

fn token(subject: proto::TokenSubject) -> Result<Subject, DecodeError> {
    Ok(Subject::Token {
        id: required(TokenId::from_slice(&subject.id), "id")?,
        name: subject.name,
        revoked: subject.revoked,
    })
}

fn role_binding(subject: proto::RoleBindingSubject) -> Result<Subject, DecodeError> {
    let binding = required(subject.binding, "binding")?;
    Ok(Subject::RoleBinding {
        principal: from_stored(required(binding.principal, "principal")?),
        role: (binding.role != 0).then(|| Role::from_number(binding.role, "role")).transpose()?,
    })
}
