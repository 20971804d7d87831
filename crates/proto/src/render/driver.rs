//! Drivers.

use muster_types::{
    ApplicationId, AttemptRecord, DriverRecord, DriverSpec, DriverState, Outcome, PendingReason, Reason, WallTime,
};

use crate::process::{artifact_redacted, command_redacted};
use crate::render::pending;
use crate::time::{duration, timestamp};
use crate::{tokens, v1};

/// Facts about a driver that are not in its record.
#[derive(Debug, Clone, Copy, Default)]
pub struct DriverExtras<'a> {
    /// Process id of the main process, while it runs.
    pub pid: Option<u32>,
    /// When the next attempt may start, while backing off.
    pub retry: Option<WallTime>,
    /// Why it waits.
    pub pending: Option<&'a PendingReason>,
    /// The kernel function in which its tree waits, when a kill does not end it.
    pub wait_channel: Option<&'a str>,
    /// Applications that it registered.
    pub applications: &'a [ApplicationId],
}

/// A spec, secrets redacted.
pub fn driver_spec(spec: &DriverSpec) -> v1::DriverSpec {
    v1::DriverSpec {
        command: Some(command_redacted(&spec.command)),
        resources: Some((&spec.resources).into()),
        artifacts: spec.artifacts.iter().map(artifact_redacted).collect(),
        restart: Some((&spec.restart).into()),
        on_worker_lost: v1::WorkerLostPolicy::from(spec.on_worker_lost).into(),
        kill_grace: Some(duration(spec.kill_grace)),
        labels: spec.labels.clone(),
        worker_selector: spec.worker_selector.clone(),
        log_limit_bytes: spec.log_limit,
        run_as: spec.run_as.clone().unwrap_or_default(),
    }
}

/// A driver.
pub fn driver(record: &DriverRecord, extras: DriverExtras<'_>) -> v1::Driver {
    let attempts: Vec<_> = record.attempts.iter().map(|one| attempt(one, record.state, &extras)).collect();
    v1::Driver {
        driver_id: record.id.as_str().to_owned(),
        uid: record.uid.to_string(),
        owner: record.owner.as_deref().unwrap_or_default().to_owned(),
        spec: Some(driver_spec(&record.spec)),
        state: v1::driver::State::from(record.state).into(),
        pending: extras.pending.map(pending),
        create_time: Some(timestamp(record.created)),
        update_time: Some(timestamp(record.updated)),
        end_time: record.ended.map(timestamp),
        outcome: attempts.last().and_then(|last| last.outcome.clone()),
        attempts,
        retry_time: extras.retry.map(timestamp),
        etag: tokens::etag(record.version),
        failures_in_window: u32::try_from(record.failures.len()).unwrap_or(u32::MAX),
        application_ids: extras.applications.iter().map(|id| id.as_str().to_owned()).collect(),
    }
}

fn attempt(record: &AttemptRecord, driver: DriverState, extras: &DriverExtras<'_>) -> v1::DriverAttempt {
    let open = record.outcome.is_none();
    let state = match &record.outcome {
        Some(outcome) => state_of_outcome(outcome),
        None => driver,
    };
    v1::DriverAttempt {
        attempt: record.number.0,
        worker: record.worker_name.as_str().to_owned(),
        worker_uid: record.worker.to_string(),
        state: v1::driver::State::from(state).into(),
        resources: Some((&record.resources).into()),
        pid: extras.pid.filter(|_| open).unwrap_or(0),
        assign_time: Some(timestamp(record.assigned)),
        start_time: record.started.map(timestamp),
        end_time: record.ended.map(timestamp),
        outcome: record.outcome.as_ref().map(Into::into),
        wait_channel: extras.wait_channel.filter(|_| open).unwrap_or_default().to_owned(),
    }
}

/// The state in which a closed attempt is shown.
fn state_of_outcome(outcome: &Outcome) -> DriverState {
    match outcome.reason {
        Reason::Exited if outcome.is_success() => DriverState::Finished,
        Reason::Killed | Reason::NeverStarted | Reason::Drained | Reason::OwnerEnded => DriverState::Killed,
        Reason::Lost | Reason::Forgotten | Reason::LeaseEnded => DriverState::Lost,
        Reason::Exited
        | Reason::OutOfMemory
        | Reason::NotFound
        | Reason::NotExecutable
        | Reason::SpawnFailed
        | Reason::ArtifactFailed
        | Reason::WorkDirFailed
        | Reason::UnknownVariable
        | Reason::LogLimit
        | Reason::Refused
        | Reason::NoUser => DriverState::Failed,
    }
}
