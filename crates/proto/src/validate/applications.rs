//! Requests about applications and their executors.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use muster_types::{
    ApplicationId, ApplicationSpec, ExecutorId, ExecutorProfile, MAX_SPEC_BYTES, ProfileId, RequestId, Secret,
};
use prost::Message as _;

use super::application::{MAX_PROFILES, application_spec, executor_profile};
use super::checks::{
    bounded_length, chosen_name, count, driver_token, existing_name, plain_text, request_id, required, shown_text,
};
use crate::{FieldViolations, Path, v1};

const MAX_HOSTS: usize = 1024;
const MAX_HOST: usize = 253;
const MAX_KILLED: usize = 10_000;
const MAX_MESSAGE: usize = 1024;
const MAX_UNREGISTER_GRACE: Duration = Duration::from_secs(3600);

/// The registration of an application.
#[derive(Debug, Clone)]
pub struct RegisterApplication {
    /// Chosen name.
    pub id: Option<ApplicationId>,
    /// The spec of the application.
    pub spec: Arc<ApplicationSpec>,
    /// Makes it idempotent.
    pub request: Option<RequestId>,
    /// The token of a cluster-mode driver.
    pub token: Option<Secret>,
}

/// Checks a registration.
pub fn register_application(wire: v1::RegisterApplicationRequest) -> Result<RegisterApplication, FieldViolations> {
    let mut violations = FieldViolations::new();
    let path = Path::root("application");
    let named = chosen_name(&wire.application_id, &Path::root("application_id"), &mut violations);
    let request = request_id(wire.request_id, &mut violations);
    let token = driver_token(wire.driver_token, &mut violations);
    let spec = required(wire.application, &path, &mut violations);
    let spec = spec.and_then(|wire| application_spec(wire, &path, &mut violations));
    let Some(spec) = spec else { return Err(violations) };
    violations.unless_any(RegisterApplication {
        id: named.then(|| ApplicationId::new(wire.application_id)),
        spec: Arc::new(spec),
        request,
        token,
    })
}

/// The opening of an application's session.
#[derive(Debug, Clone)]
pub struct WatchApplication {
    /// Name or uid.
    pub application: String,
    /// The token of a cluster-mode driver.
    pub token: Option<Secret>,
    /// Revision of the last event that was seen; `None` begins with a snapshot.
    pub resume: Option<u64>,
}

/// Checks the opening of a session.
pub fn watch_application(wire: v1::WatchApplicationRequest) -> Result<WatchApplication, FieldViolations> {
    let mut violations = FieldViolations::new();
    existing_name(&wire.application_id, &Path::root("application_id"), &mut violations);
    let token = driver_token(wire.driver_token, &mut violations);
    let resume = Some(wire.resume_revision).filter(|revision| *revision != 0);
    violations.unless_any(WatchApplication { application: wire.application_id, token, resume })
}

/// A request for executors of one profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileTargetRequest {
    /// The profile.
    pub profile: ProfileId,
    /// Executors wanted in all.
    pub target: u32,
    /// Adds the profile when it does not exist.
    pub new_profile: Option<ExecutorProfile>,
    /// Hosts that are preferred, with how many executors each.
    pub preferred_hosts: BTreeMap<String, u32>,
}

/// New targets of an application.
#[derive(Debug, Clone)]
pub struct RequestExecutors {
    /// Name or uid.
    pub application: String,
    /// The token of a cluster-mode driver.
    pub token: Option<Secret>,
    /// Must be higher than that of the request before.
    pub sequence: u64,
    /// Absolute targets, one per profile at most.
    pub targets: Vec<ProfileTargetRequest>,
    /// Hosts on which nothing new is placed.
    pub excluded_hosts: BTreeSet<String>,
    /// Makes it idempotent.
    pub request: Option<RequestId>,
}

/// Checks a request for executors.
pub fn request_executors(wire: v1::RequestExecutorsRequest) -> Result<RequestExecutors, FieldViolations> {
    let mut violations = FieldViolations::new();
    // It becomes part of the application's record, so the whole request keeps to the bound of a
    // spec.
    let size = wire.encoded_len();
    if size > MAX_SPEC_BYTES {
        let message = format!("the request has {size} bytes encoded; at most {MAX_SPEC_BYTES}");
        violations.add(&Path::root("targets"), message);
    }
    existing_name(&wire.application_id, &Path::root("application_id"), &mut violations);
    let token = driver_token(wire.driver_token, &mut violations);
    let request = request_id(wire.request_id, &mut violations);
    let targets = targets(wire.targets, &mut violations);
    let excluded = Path::root("excluded_hosts");
    count(wire.excluded_hosts.len(), MAX_HOSTS, &excluded, &mut violations);
    for (index, host) in wire.excluded_hosts.iter().enumerate().take(MAX_HOSTS) {
        shown_text(host, MAX_HOST, &excluded.index(index), &mut violations);
    }
    violations.unless_any(RequestExecutors {
        application: wire.application_id,
        token,
        sequence: wire.sequence,
        targets,
        excluded_hosts: wire.excluded_hosts.into_iter().collect(),
        request,
    })
}

fn targets(wire: Vec<v1::ProfileTarget>, violations: &mut FieldViolations) -> Vec<ProfileTargetRequest> {
    let path = Path::root("targets");
    count(wire.len(), MAX_PROFILES, &path, violations);
    let mut seen = BTreeSet::new();
    let mut targets = Vec::with_capacity(wire.len().min(MAX_PROFILES));
    for (index, wire) in wire.into_iter().take(MAX_PROFILES).enumerate() {
        let path = path.index(index);
        if !seen.insert(wire.profile_id) {
            violations.add(&path.field("profile_id"), format!("{} has a target already", wire.profile_id));
        }
        targets.push(target(wire, &path, violations));
    }
    targets
}

fn target(wire: v1::ProfileTarget, path: &Path<'_>, violations: &mut FieldViolations) -> ProfileTargetRequest {
    let hosts = path.field("preferred_hosts");
    count(wire.preferred_hosts.len(), MAX_HOSTS, &hosts, violations);
    for host in wire.preferred_hosts.keys() {
        shown_text(host, MAX_HOST, &hosts.key(host), violations);
    }
    let profile = ProfileId(wire.profile_id);
    let new_path = path.field("new_profile");
    let new_profile = wire.new_profile.map(|new| {
        if new.profile_id != 0 && new.profile_id != wire.profile_id {
            let message = format!("is {}, but the target is of {}", new.profile_id, wire.profile_id);
            violations.add(&new_path.field("profile_id"), message);
        }
        ExecutorProfile { id: profile, target: wire.target, ..executor_profile(new, &new_path, violations) }
    });
    ProfileTargetRequest { profile, target: wire.target, new_profile, preferred_hosts: wire.preferred_hosts }
}

/// The kill of some executors.
#[derive(Debug, Clone)]
pub struct KillExecutors {
    /// Name or uid.
    pub application: String,
    /// The token of a cluster-mode driver.
    pub token: Option<Secret>,
    /// The executors to kill.
    pub executors: Vec<ExecutorId>,
    /// Keep the target.
    pub replace: bool,
    /// Makes it idempotent.
    pub request: Option<RequestId>,
}

/// Checks a kill of executors.
pub fn kill_executors(wire: v1::KillExecutorsRequest) -> Result<KillExecutors, FieldViolations> {
    let mut violations = FieldViolations::new();
    existing_name(&wire.application_id, &Path::root("application_id"), &mut violations);
    let token = driver_token(wire.driver_token, &mut violations);
    let request = request_id(wire.request_id, &mut violations);
    count(wire.executor_ids.len(), MAX_KILLED, &Path::root("executor_ids"), &mut violations);
    violations.unless_any(KillExecutors {
        application: wire.application_id,
        token,
        executors: wire.executor_ids.into_iter().map(ExecutorId).collect(),
        replace: wire.replace,
        request,
    })
}

/// The end of an application, requested by its driver.
#[derive(Debug, Clone)]
pub struct Unregister {
    /// Name or uid.
    pub application: String,
    /// The token of a cluster-mode driver.
    pub token: Option<Secret>,
    /// Whether it succeeded.
    pub success: bool,
    /// For people.
    pub message: String,
    /// The time before the remaining executors are killed.
    pub grace: Duration,
    /// Makes it idempotent.
    pub request: Option<RequestId>,
}

/// Checks an application's end.
pub fn unregister(wire: v1::UnregisterApplicationRequest) -> Result<Unregister, FieldViolations> {
    let mut violations = FieldViolations::new();
    existing_name(&wire.application_id, &Path::root("application_id"), &mut violations);
    let token = driver_token(wire.driver_token, &mut violations);
    let request = request_id(wire.request_id, &mut violations);
    plain_text(&wire.message, MAX_MESSAGE, &Path::root("message"), &mut violations);
    let grace = bounded_length(
        wire.grace,
        Duration::ZERO,
        Duration::ZERO..=MAX_UNREGISTER_GRACE,
        &Path::root("grace"),
        &mut violations,
    );
    violations.unless_any(Unregister {
        application: wire.application_id,
        token,
        success: wire.success,
        message: wire.message,
        grace,
        request,
    })
}

/// The end of an application, requested by an operator.
#[derive(Debug, Clone)]
pub struct KillApplication {
    /// Name or uid.
    pub application: String,
    /// Makes it idempotent.
    pub request: Option<RequestId>,
}

/// Checks an operator's kill.
pub fn kill_application(wire: v1::KillApplicationRequest) -> Result<KillApplication, FieldViolations> {
    let mut violations = FieldViolations::new();
    existing_name(&wire.application_id, &Path::root("application_id"), &mut violations);
    let request = request_id(wire.request_id, &mut violations);
    violations.unless_any(KillApplication { application: wire.application_id, request })
}
