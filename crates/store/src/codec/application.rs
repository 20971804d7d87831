//! Applications and their executors.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_types::{
    ApplicationId, ApplicationRecord, ApplicationSpec, ApplicationState, ApplicationUid, AttemptNumber, DriverId,
    DriverUid, EndingRecord, ExecutorId, ExecutorProfile, ExecutorRecord, ExecutorState, ExecutorTemplate,
    ExecutorsRecord, KilledBy, ProfileId, RequestId, SessionLostPolicy, WallTime, WorkerName, WorkerUid,
};

use super::enums::StoredEnum as _;
use super::{
    DecodeError, FIRST_GENERATION, Stored, list, nested, optional, proto, required, stored_generation, stored_trace,
    strings, walls,
};

impl Stored for ApplicationRecord {
    type Message = proto::ApplicationRecord;

    fn to_message(&self) -> proto::ApplicationRecord {
        let hosts = |counts: &BTreeMap<String, u32>| proto::HostCounts { counts: counts.clone() };
        proto::ApplicationRecord {
            uid: self.uid.to_bytes().to_vec(),
            id: self.id.to_string(),
            spec: Some(self.spec.to_message()),
            request: self.request.as_ref().map(RequestId::to_string),
            owner: self.owner.as_deref().map(str::to_owned),
            driver: self.driver.as_ref().map(Stored::to_message),
            state: self.state.to_number(),
            ending: self.ending.as_ref().map(Stored::to_message),
            targets: self.targets.iter().map(|(profile, target)| (profile.0, *target)).collect(),
            added_profiles: stored_profiles(&self.added_profiles),
            preferred_hosts: self.preferred_hosts.iter().map(|(profile, list)| (profile.0, hosts(list))).collect(),
            excluded_hosts: self.excluded_hosts.iter().cloned().collect(),
            sequence: self.sequence,
            next_executor: self.next_executor.0,
            next_executors_record: self.next_executors_record,
            failures: walls(&self.failures),
            requests: strings(&self.requests),
            created: self.created.0,
            updated: self.updated.0,
            ended: self.ended.map(|time| time.0),
            version: self.version,
            generation: stored_generation(self.generation),
            traceparent: self.trace.map(|trace| trace.to_string()),
        }
    }

    fn from_message(message: proto::ApplicationRecord) -> Result<ApplicationRecord, DecodeError> {
        let hosts = |(profile, hosts): (u32, proto::HostCounts)| (ProfileId(profile), hosts.counts);
        Ok(ApplicationRecord {
            uid: required(ApplicationUid::from_slice(&message.uid), "uid")?,
            id: ApplicationId::new(message.id),
            spec: Arc::new(nested(message.spec, "spec")?),
            request: message.request.map(RequestId::new),
            owner: message.owner.map(Into::into),
            driver: optional(message.driver)?,
            state: ApplicationState::from_number(message.state, "state")?,
            ending: optional(message.ending)?,
            targets: message.targets.into_iter().map(|(profile, target)| (ProfileId(profile), target)).collect(),
            added_profiles: profiles(message.added_profiles)?,
            preferred_hosts: message.preferred_hosts.into_iter().map(hosts).collect(),
            excluded_hosts: message.excluded_hosts.into_iter().collect(),
            sequence: message.sequence,
            next_executor: ExecutorId(message.next_executor),
            next_executors_record: message.next_executors_record,
            failures: message.failures.into_iter().map(WallTime).collect(),
            requests: message.requests.into_iter().map(RequestId::new).collect(),
            created: WallTime(message.created),
            updated: WallTime(message.updated),
            ended: message.ended.map(WallTime),
            version: message.version,
            generation: message.generation.unwrap_or(FIRST_GENERATION),
            trace: stored_trace(message.traceparent.as_deref()),
        })
    }
}

impl Stored for (DriverUid, DriverId, AttemptNumber) {
    type Message = proto::OwnerRecord;

    fn to_message(&self) -> proto::OwnerRecord {
        let (uid, id, attempt) = self;
        proto::OwnerRecord { uid: uid.to_bytes().to_vec(), id: id.to_string(), attempt: attempt.0 }
    }

    fn from_message(message: proto::OwnerRecord) -> Result<Self, DecodeError> {
        let uid = required(DriverUid::from_slice(&message.uid), "driver")?;
        Ok((uid, DriverId::new(message.id), AttemptNumber(message.attempt)))
    }
}

impl Stored for EndingRecord {
    type Message = proto::EndingRecord;

    fn to_message(&self) -> proto::EndingRecord {
        proto::EndingRecord { state: self.state.to_number(), by: self.by.clone(), message: self.message.clone() }
    }

    fn from_message(message: proto::EndingRecord) -> Result<EndingRecord, DecodeError> {
        Ok(EndingRecord {
            state: ApplicationState::from_number(message.state, "state")?,
            by: message.by,
            message: message.message,
        })
    }
}

impl Stored for ApplicationSpec {
    type Message = proto::ApplicationSpec;

    fn to_message(&self) -> proto::ApplicationSpec {
        proto::ApplicationSpec {
            name: self.name.clone(),
            user: self.user.clone(),
            labels: self.labels.clone(),
            ui_address: self.ui_address.clone(),
            profiles: stored_profiles(&self.profiles),
            template: Some(self.template.to_message()),
            max_cores: self.max_cores,
            session_grace: Some(self.session_grace.to_message()),
            on_session_lost: self.on_session_lost.to_number(),
            executor_restart: Some(self.executor_restart.to_message()),
            worker_selector: self.worker_selector.clone(),
        }
    }

    fn from_message(message: proto::ApplicationSpec) -> Result<ApplicationSpec, DecodeError> {
        Ok(ApplicationSpec {
            name: message.name,
            user: message.user,
            labels: message.labels,
            ui_address: message.ui_address,
            profiles: profiles(message.profiles)?,
            template: Arc::new(nested(message.template, "template")?),
            max_cores: message.max_cores,
            session_grace: nested(message.session_grace, "session_grace")?,
            on_session_lost: SessionLostPolicy::from_number(message.on_session_lost, "on_session_lost")?,
            executor_restart: nested(message.executor_restart, "executor_restart")?,
            worker_selector: message.worker_selector,
        })
    }
}

/// A profile carries its own id, which is its key.
fn stored_profiles(profiles: &BTreeMap<ProfileId, ExecutorProfile>) -> Vec<proto::ExecutorProfile> {
    profiles.iter().map(|(id, profile)| proto::ExecutorProfile { id: id.0, ..profile.to_message() }).collect()
}

fn profiles(messages: Vec<proto::ExecutorProfile>) -> Result<BTreeMap<ProfileId, ExecutorProfile>, DecodeError> {
    let profiles: Vec<ExecutorProfile> = list(messages)?;
    Ok(profiles.into_iter().map(|profile| (profile.id, profile)).collect())
}

impl Stored for ExecutorProfile {
    type Message = proto::ExecutorProfile;

    fn to_message(&self) -> proto::ExecutorProfile {
        proto::ExecutorProfile {
            id: self.id.0,
            resources: Some(self.resources.to_message()),
            target: self.target,
            variables: self.variables.clone(),
            template: self.template.as_ref().map(|template| template.to_message()),
        }
    }

    fn from_message(message: proto::ExecutorProfile) -> Result<ExecutorProfile, DecodeError> {
        Ok(ExecutorProfile {
            id: ProfileId(message.id),
            resources: nested(message.resources, "resources")?,
            target: message.target,
            variables: message.variables,
            template: optional(message.template)?.map(Arc::new),
        })
    }
}

impl Stored for ExecutorTemplate {
    type Message = proto::ExecutorTemplate;

    fn to_message(&self) -> proto::ExecutorTemplate {
        proto::ExecutorTemplate {
            command: Some(self.command.to_message()),
            artifacts: self.artifacts.iter().map(Stored::to_message).collect(),
            resources_component: self.resources_component.to_string(),
            kill_grace: Some(self.kill_grace.to_message()),
            log_limit: self.log_limit,
        }
    }

    fn from_message(message: proto::ExecutorTemplate) -> Result<ExecutorTemplate, DecodeError> {
        Ok(ExecutorTemplate {
            command: Arc::new(nested(message.command, "command")?),
            artifacts: list(message.artifacts)?,
            resources_component: message.resources_component.into(),
            kill_grace: nested(message.kill_grace, "kill_grace")?,
            log_limit: message.log_limit,
        })
    }
}

impl Stored for ExecutorsRecord {
    type Message = proto::ExecutorsRecord;

    fn to_message(&self) -> proto::ExecutorsRecord {
        proto::ExecutorsRecord {
            application: self.application.to_bytes().to_vec(),
            sequence: self.sequence,
            executors: self.executors.iter().map(Stored::to_message).collect(),
        }
    }

    fn from_message(message: proto::ExecutorsRecord) -> Result<ExecutorsRecord, DecodeError> {
        Ok(ExecutorsRecord {
            application: required(ApplicationUid::from_slice(&message.application), "application")?,
            sequence: message.sequence,
            executors: list(message.executors)?,
        })
    }
}

impl Stored for ExecutorRecord {
    type Message = proto::ExecutorRecord;

    fn to_message(&self) -> proto::ExecutorRecord {
        proto::ExecutorRecord {
            id: self.id.0,
            profile: self.profile.0,
            worker: self.worker.to_bytes().to_vec(),
            worker_name: self.worker_name.to_string(),
            host: self.host.clone(),
            incarnation: Some(self.incarnation.to_message()),
            resources: Some(self.resources.to_message()),
            state: self.state.to_number(),
            killed_by: self.killed_by.map(|by| by.to_number()),
            created: self.created.0,
            started: self.started.map(|time| time.0),
            ended: self.ended.map(|time| time.0),
            outcome: self.outcome.as_ref().map(Stored::to_message),
            launch_timed_out: self.launch_timed_out,
        }
    }

    fn from_message(message: proto::ExecutorRecord) -> Result<ExecutorRecord, DecodeError> {
        Ok(ExecutorRecord {
            id: ExecutorId(message.id),
            profile: ProfileId(message.profile),
            worker: required(WorkerUid::from_slice(&message.worker), "worker")?,
            worker_name: WorkerName::new(message.worker_name),
            host: message.host,
            incarnation: nested(message.incarnation, "incarnation")?,
            resources: nested(message.resources, "resources")?,
            state: ExecutorState::from_number(message.state, "state")?,
            killed_by: message.killed_by.map(|by| KilledBy::from_number(by, "killed_by")).transpose()?,
            created: WallTime(message.created),
            started: message.started.map(WallTime),
            ended: message.ended.map(WallTime),
            outcome: optional(message.outcome)?,
            launch_timed_out: message.launch_timed_out,
        })
    }
}
