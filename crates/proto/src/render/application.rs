//! Applications and their executors.

use std::collections::BTreeMap;

use muster_types::{
    ApplicationId, ApplicationRecord, ApplicationSpec, ExecutorProfile, ExecutorRecord, ExecutorTemplate,
    PendingReason, ProfileId, REDACTED, name_looks_secret,
};

use crate::process::{artifact_redacted, command_redacted};
use crate::render::pending;
use crate::time::{duration, timestamp};
use crate::{tokens, v1};

/// The target of one profile and how far it is met.
#[derive(Debug, Clone, Copy)]
pub struct ProfileStatus<'a> {
    /// The profile.
    pub profile: ProfileId,
    /// Executors wanted.
    pub target: u32,
    /// Executors that run.
    pub running: u32,
    /// Executors launched and not yet running.
    pub launching: u32,
    /// Why the target is not met.
    pub pending: Option<&'a PendingReason>,
}

impl From<&ProfileStatus<'_>> for v1::application::ProfileStatus {
    fn from(shown: &ProfileStatus<'_>) -> Self {
        v1::application::ProfileStatus {
            profile_id: shown.profile.0,
            target: shown.target,
            running: shown.running,
            launching: shown.launching,
            pending: shown.pending.map(pending),
        }
    }
}

fn template(template: &ExecutorTemplate) -> v1::ExecutorTemplate {
    v1::ExecutorTemplate {
        command: Some(command_redacted(&template.command)),
        artifacts: template.artifacts.iter().map(artifact_redacted).collect(),
        resources_component: template.resources_component.to_string(),
        kill_grace: Some(duration(template.kill_grace)),
        log_limit_bytes: template.log_limit,
    }
}

/// A profile, secrets redacted.
pub fn executor_profile(profile: &ExecutorProfile) -> v1::ExecutorProfile {
    let shown = |name: &String, value: &String| {
        let value = if name_looks_secret(name) { REDACTED.to_owned() } else { value.clone() };
        (name.clone(), value)
    };
    v1::ExecutorProfile {
        profile_id: profile.id.0,
        resources: Some((&profile.resources).into()),
        target: profile.target,
        variables: profile.variables.iter().map(|(name, value)| shown(name, value)).collect(),
        template: profile.template.as_deref().map(template),
    }
}

/// A spec with the profiles that were added later, secrets redacted.
pub fn application_spec(spec: &ApplicationSpec, added: &BTreeMap<ProfileId, ExecutorProfile>) -> v1::ApplicationSpec {
    v1::ApplicationSpec {
        name: spec.name.clone(),
        user: spec.user.clone(),
        labels: spec.labels.clone(),
        ui_address: spec.ui_address.clone(),
        profiles: spec.profiles.values().chain(added.values()).map(executor_profile).collect(),
        template: Some(template(&spec.template)),
        max_cores: spec.max_cores,
        session_grace: Some(duration(spec.session_grace)),
        on_session_lost: v1::SessionLostPolicy::from(spec.on_session_lost).into(),
        executor_restart: Some((&spec.executor_restart).into()),
        worker_selector: spec.worker_selector.clone(),
    }
}

/// An application with the number of its present session (0 before the first) and the status of its
/// profiles.
pub fn application<'a>(
    record: &ApplicationRecord,
    session: u64,
    profiles: impl IntoIterator<Item = ProfileStatus<'a>>,
) -> v1::Application {
    let (driver_id, driver_attempt) = match &record.driver {
        Some((_, id, attempt)) => (id.as_str().to_owned(), attempt.0),
        None => (String::new(), 0),
    };
    v1::Application {
        application_id: record.id.as_str().to_owned(),
        uid: record.uid.to_string(),
        owner: record.owner.as_deref().unwrap_or_default().to_owned(),
        spec: Some(application_spec(&record.spec, &record.added_profiles)),
        state: v1::application::State::from(record.state).into(),
        profiles: profiles.into_iter().map(|shown| (&shown).into()).collect(),
        driver_id,
        driver_attempt,
        session,
        create_time: Some(timestamp(record.created)),
        update_time: Some(timestamp(record.updated)),
        end_time: record.ended.map(timestamp),
        message: record.ending.as_ref().map(|ending| ending.message.clone()).unwrap_or_default(),
        failures_in_window: u32::try_from(record.failures.len()).unwrap_or(u32::MAX),
        etag: tokens::etag(record.version),
    }
}

/// Facts about an executor that are not in its record.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExecutorExtras {
    /// Process id of the main process, while it runs.
    pub pid: Option<u32>,
    /// Its worker drains.
    pub draining: bool,
}

/// An executor of an application.
pub fn executor(application: &ApplicationId, record: &ExecutorRecord, extras: ExecutorExtras) -> v1::Executor {
    v1::Executor {
        application_id: application.as_str().to_owned(),
        executor_id: record.id.0,
        profile_id: record.profile.0,
        state: v1::executor::State::from(record.state).into(),
        worker: record.worker_name.as_str().to_owned(),
        worker_uid: record.worker.to_string(),
        host: record.host.clone(),
        resources: Some((&record.resources).into()),
        pid: extras.pid.filter(|_| record.outcome.is_none()).unwrap_or(0),
        create_time: Some(timestamp(record.created)),
        start_time: record.started.map(timestamp),
        end_time: record.ended.map(timestamp),
        outcome: record.outcome.as_ref().map(Into::into),
        killed_by: record.killed_by.map(|by| by.as_str().to_owned()).unwrap_or_default(),
        draining: extras.draining && record.outcome.is_none(),
    }
}
