//! Drivers and their attempts.

use std::sync::Arc;

use muster_types::{
    AttemptNumber, AttemptRecord, DriverId, DriverRecord, DriverSpec, DriverState, DriverUid, KillRecord, KilledBy,
    RequestId, Secret, WallTime, WorkerLostPolicy, WorkerName, WorkerUid,
};

use super::enums::StoredEnum as _;
use super::{
    DecodeError, FIRST_GENERATION, Stored, list, nested, optional, proto, required, stored_generation, stored_trace,
    strings, walls,
};

impl Stored for DriverRecord {
    type Message = proto::DriverRecord;

    fn to_message(&self) -> proto::DriverRecord {
        proto::DriverRecord {
            uid: self.uid.to_bytes().to_vec(),
            id: self.id.to_string(),
            spec: Some(self.spec.to_message()),
            request: self.request.as_ref().map(RequestId::to_string),
            owner: self.owner.as_deref().map(str::to_owned),
            state: self.state.to_number(),
            created: self.created.0,
            updated: self.updated.0,
            ended: self.ended.map(|time| time.0),
            attempts: self.attempts.iter().map(Stored::to_message).collect(),
            kill: self.kill.as_ref().map(Stored::to_message),
            failures: walls(&self.failures),
            consecutive_failures: self.consecutive_failures,
            version: self.version,
            generation: stored_generation(self.generation),
            traceparent: self.trace.map(|trace| trace.to_string()),
        }
    }

    fn from_message(message: proto::DriverRecord) -> Result<DriverRecord, DecodeError> {
        Ok(DriverRecord {
            uid: required(DriverUid::from_slice(&message.uid), "uid")?,
            id: DriverId::new(message.id),
            spec: Arc::new(nested(message.spec, "spec")?),
            request: message.request.map(RequestId::new),
            owner: message.owner.map(Into::into),
            state: DriverState::from_number(message.state, "state")?,
            created: WallTime(message.created),
            updated: WallTime(message.updated),
            ended: message.ended.map(WallTime),
            attempts: list(message.attempts)?,
            kill: optional(message.kill)?,
            failures: message.failures.into_iter().map(WallTime).collect(),
            consecutive_failures: message.consecutive_failures,
            version: message.version,
            generation: message.generation.unwrap_or(FIRST_GENERATION),
            trace: stored_trace(message.traceparent.as_deref()),
        })
    }
}

impl Stored for DriverSpec {
    type Message = proto::DriverSpec;

    fn to_message(&self) -> proto::DriverSpec {
        proto::DriverSpec {
            command: Some(self.command.to_message()),
            resources: Some(self.resources.to_message()),
            artifacts: self.artifacts.iter().map(Stored::to_message).collect(),
            restart: Some(self.restart.to_message()),
            on_worker_lost: self.on_worker_lost.to_number(),
            kill_grace: Some(self.kill_grace.to_message()),
            labels: self.labels.clone(),
            worker_selector: self.worker_selector.clone(),
            log_limit: self.log_limit,
            run_as: self.run_as.clone(),
        }
    }

    fn from_message(message: proto::DriverSpec) -> Result<DriverSpec, DecodeError> {
        Ok(DriverSpec {
            command: Arc::new(nested(message.command, "command")?),
            resources: nested(message.resources, "resources")?,
            artifacts: list(message.artifacts)?,
            restart: nested(message.restart, "restart")?,
            on_worker_lost: WorkerLostPolicy::from_number(message.on_worker_lost, "on_worker_lost")?,
            kill_grace: nested(message.kill_grace, "kill_grace")?,
            labels: message.labels,
            worker_selector: message.worker_selector,
            log_limit: message.log_limit,
            run_as: message.run_as,
        })
    }
}

impl Stored for AttemptRecord {
    type Message = proto::AttemptRecord;

    fn to_message(&self) -> proto::AttemptRecord {
        proto::AttemptRecord {
            number: self.number.0,
            worker: self.worker.to_bytes().to_vec(),
            worker_name: self.worker_name.to_string(),
            incarnation: Some(self.incarnation.to_message()),
            resources: Some(self.resources.to_message()),
            token: self.token.expose().to_owned(),
            assigned: self.assigned.0,
            started: self.started.map(|time| time.0),
            ended: self.ended.map(|time| time.0),
            outcome: self.outcome.as_ref().map(Stored::to_message),
            launch_timed_out: self.launch_timed_out,
        }
    }

    fn from_message(message: proto::AttemptRecord) -> Result<AttemptRecord, DecodeError> {
        Ok(AttemptRecord {
            number: AttemptNumber(message.number),
            worker: required(WorkerUid::from_slice(&message.worker), "worker")?,
            worker_name: WorkerName::new(message.worker_name),
            incarnation: nested(message.incarnation, "incarnation")?,
            resources: nested(message.resources, "resources")?,
            token: Secret::new(message.token),
            assigned: WallTime(message.assigned),
            started: message.started.map(WallTime),
            ended: message.ended.map(WallTime),
            outcome: optional(message.outcome)?,
            launch_timed_out: message.launch_timed_out,
        })
    }
}

impl Stored for KillRecord {
    type Message = proto::KillRecord;

    fn to_message(&self) -> proto::KillRecord {
        proto::KillRecord { by: self.by.to_number(), requests: strings(&self.requests), asked: self.asked.0 }
    }

    fn from_message(message: proto::KillRecord) -> Result<KillRecord, DecodeError> {
        Ok(KillRecord {
            by: KilledBy::from_number(message.by, "by")?,
            requests: message.requests.into_iter().map(RequestId::new).collect(),
            asked: WallTime(message.asked),
        })
    }
}
