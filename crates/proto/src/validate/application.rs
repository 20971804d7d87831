//! The spec of an application.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use muster_types::{
    ApplicationSpec, DEFAULT_SESSION_GRACE, ExecutorProfile, ExecutorTemplate, ProfileId, SessionLostPolicy,
    is_reserved_variable,
};
use prost::Message as _;

use super::checks::{bounded_length, count, encoded_size, known, labels, plain_text, required, shown_text};
use super::driver::{MAX_LABELS, MAX_SELECTOR, kill_grace, log_limit};
use super::policy::restart;
use super::process::{artifacts, command};
use super::resources::{ZeroCores, resources};
use crate::{FieldViolations, Path, text, v1};

pub(super) const MAX_PROFILES: usize = 256;
const MAX_SESSION_GRACE: Duration = Duration::from_secs(24 * 3600);
const MAX_NAME: usize = 63;
const MAX_USER: usize = 255;
const MAX_UI_ADDRESS: usize = 2048;
const MAX_VARIABLES: usize = 64;
const MAX_VARIABLE_VALUE: usize = 4096;
const DEFAULT_COMPONENT: &str = "executor";

/// The spec with its defaults; `None` when a required part is missing, which is a violation like
/// any other.
pub(super) fn application_spec(
    wire: v1::ApplicationSpec,
    path: &Path<'_>,
    violations: &mut FieldViolations,
) -> Option<ApplicationSpec> {
    spec_size(&wire, path, violations);
    for_people(&wire, path, violations);
    labels(&wire.labels, MAX_LABELS, &path.field("labels"), violations);
    labels(&wire.worker_selector, MAX_SELECTOR, &path.field("worker_selector"), violations);
    let lost =
        known::<v1::SessionLostPolicy>(wire.on_session_lost, "END or KEEP", &path.field("on_session_lost"), violations);
    let profiles = profiles(wire.profiles, &path.field("profiles"), violations);
    let session_grace = bounded_length(
        wire.session_grace,
        DEFAULT_SESSION_GRACE,
        Duration::ZERO..=MAX_SESSION_GRACE,
        &path.field("session_grace"),
        violations,
    );
    let executor_restart = restart(wire.executor_restart, &path.field("executor_restart"), violations);
    let template = required(wire.template, &path.field("template"), violations);
    let template = executor_template(template?, &path.field("template"), violations);
    Some(ApplicationSpec {
        name: wire.name,
        user: wire.user,
        labels: wire.labels,
        ui_address: wire.ui_address,
        profiles,
        template: Arc::new(template),
        max_cores: wire.max_cores,
        session_grace,
        on_session_lost: lost.and_then(|wire| wire.try_into().ok()).unwrap_or(SessionLostPolicy::End),
        executor_restart,
        worker_selector: wire.worker_selector,
    })
}

fn for_people(wire: &v1::ApplicationSpec, path: &Path<'_>, violations: &mut FieldViolations) {
    if wire.name.is_empty() {
        violations.add(&path.field("name"), "is required");
    }
    shown_text(&wire.name, MAX_NAME, &path.field("name"), violations);
    shown_text(&wire.user, MAX_USER, &path.field("user"), violations);
    let ui_address = path.field("ui_address");
    shown_text(&wire.ui_address, MAX_UI_ADDRESS, &ui_address, violations);
    // The address becomes a link on a page, so no other scheme is allowed.
    let web = |address: &str| address.starts_with("http://") || address.starts_with("https://");
    if !wire.ui_address.is_empty() && !web(&wire.ui_address) {
        violations.add(&ui_address, "does not begin with http:// or https://");
    }
}

fn profiles(
    wire: Vec<v1::ExecutorProfile>,
    path: &Path<'_>,
    violations: &mut FieldViolations,
) -> BTreeMap<ProfileId, ExecutorProfile> {
    count(wire.len(), MAX_PROFILES, path, violations);
    let mut profiles = BTreeMap::new();
    for (index, wire) in wire.into_iter().take(MAX_PROFILES).enumerate() {
        let path = path.index(index);
        let profile = executor_profile(wire, &path, violations);
        let id = profile.id;
        if profiles.insert(id, profile).is_some() {
            violations.add(&path.field("profile_id"), format!("another profile has the number {}", id.0));
        }
    }
    profiles
}

pub(super) fn executor_profile(
    wire: v1::ExecutorProfile,
    path: &Path<'_>,
    violations: &mut FieldViolations,
) -> ExecutorProfile {
    let variables = path.field("variables");
    count(wire.variables.len(), MAX_VARIABLES, &variables, violations);
    for (name, value) in &wire.variables {
        let entry = variables.key(name);
        if !text::is_variable_name(name) {
            violations.add(&entry, "the name does not match [A-Z][A-Z0-9_]* or is longer than 63 bytes");
        } else if is_reserved_variable(name) {
            violations.add(&entry, "a variable of this name is given by Muster");
        }
        plain_text(value, MAX_VARIABLE_VALUE, &entry, violations);
    }
    let template = wire.template.map(|wire| Arc::new(executor_template(wire, &path.field("template"), violations)));
    ExecutorProfile {
        id: ProfileId(wire.profile_id),
        resources: resources(wire.resources, ZeroCores::AllFree, &path.field("resources"), violations),
        target: wire.target,
        variables: wire.variables,
        template,
    }
}

fn executor_template(
    wire: v1::ExecutorTemplate,
    path: &Path<'_>,
    violations: &mut FieldViolations,
) -> ExecutorTemplate {
    let command_path = path.field("command");
    let program = required(wire.command, &command_path, violations);
    let component = match wire.resources_component.as_str() {
        "" => DEFAULT_COMPONENT,
        component => component,
    };
    if !text::is_worker_name(component) {
        violations
            .add(&path.field("resources_component"), "does not match [A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?");
    }
    ExecutorTemplate {
        command: Arc::new(program.map(|wire| command(wire, &command_path, violations)).unwrap_or_default()),
        artifacts: artifacts(wire.artifacts, &path.field("artifacts"), violations),
        resources_component: component.into(),
        kill_grace: kill_grace(wire.kill_grace, path, violations),
        log_limit: log_limit(wire.log_limit_bytes, path, violations),
    }
}

fn spec_size(wire: &v1::ApplicationSpec, path: &Path<'_>, violations: &mut FieldViolations) {
    let parts = [
        ("template", wire.template.as_ref().map_or(0, prost::Message::encoded_len)),
        ("profiles", wire.profiles.iter().map(prost::Message::encoded_len).sum()),
        ("labels", wire.labels.iter().map(|(key, value)| key.len() + value.len()).sum()),
    ];
    encoded_size(wire.encoded_len(), &parts, path, violations);
}
