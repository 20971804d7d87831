//! The spec of a driver.

use std::sync::Arc;
use std::time::Duration;

use muster_types::{DEFAULT_KILL_GRACE, DEFAULT_LOG_LIMIT, DriverSpec, WorkerLostPolicy};
use prost::Message as _;

use super::checks::{bounded_length, encoded_size, known, labels, plain_text, required};
use super::policy::restart;
use super::process::{artifacts, command};
use super::resources::{ZeroCores, resources};
use crate::{FieldViolations, Path, v1};

pub(super) const MAX_KILL_GRACE: Duration = Duration::from_secs(3600);
pub(super) const MAX_LABELS: usize = 64;
pub(super) const MAX_SELECTOR: usize = 16;
/// As long as the names of accounts that machines are given by directory services.
const MAX_ACCOUNT: usize = 64;
/// A log below this limit would hold little more than its last page.
const MIN_LOG_LIMIT: u64 = 65_536;

/// The spec with its defaults.
pub(super) fn driver_spec(wire: v1::DriverSpec, path: &Path<'_>, violations: &mut FieldViolations) -> DriverSpec {
    spec_size(&wire, path, violations);
    let program = required(wire.command, &path.field("command"), violations);
    let restart = restart(wire.restart, &path.field("restart"), violations);
    let lost =
        known::<v1::WorkerLostPolicy>(wire.on_worker_lost, "RERUN or WAIT", &path.field("on_worker_lost"), violations);
    labels(&wire.labels, MAX_LABELS, &path.field("labels"), violations);
    labels(&wire.worker_selector, MAX_SELECTOR, &path.field("worker_selector"), violations);
    plain_text(&wire.run_as, MAX_ACCOUNT, &path.field("run_as"), violations);
    DriverSpec {
        command: Arc::new(program.map(|wire| command(wire, &path.field("command"), violations)).unwrap_or_default()),
        resources: resources(wire.resources, ZeroCores::Default, &path.field("resources"), violations),
        artifacts: artifacts(wire.artifacts, &path.field("artifacts"), violations),
        on_worker_lost: lost
            .and_then(|wire| wire.try_into().ok())
            .unwrap_or(WorkerLostPolicy::default_for(restart.condition)),
        restart,
        kill_grace: kill_grace(wire.kill_grace, path, violations),
        labels: wire.labels,
        worker_selector: wire.worker_selector,
        log_limit: log_limit(wire.log_limit_bytes, path, violations),
        run_as: Some(wire.run_as).filter(|account| !account.is_empty()),
    }
}

/// Time between TERM and KILL; zero sends KILL at once.
pub(super) fn kill_grace(
    wire: Option<prost_types::Duration>,
    path: &Path<'_>,
    violations: &mut FieldViolations,
) -> Duration {
    bounded_length(wire, DEFAULT_KILL_GRACE, Duration::ZERO..=MAX_KILL_GRACE, &path.field("kill_grace"), violations)
}

/// The kept size of each output file; zero means the default.
pub(super) fn log_limit(wire: u64, path: &Path<'_>, violations: &mut FieldViolations) -> u64 {
    let limit = if wire == 0 { DEFAULT_LOG_LIMIT } else { wire };
    if limit < MIN_LOG_LIMIT {
        violations.add(&path.field("log_limit_bytes"), format!("is {limit}; at least {MIN_LOG_LIMIT}"));
    }
    limit
}

fn spec_size(wire: &v1::DriverSpec, path: &Path<'_>, violations: &mut FieldViolations) {
    let command = wire.command.as_ref().map_or(0, prost::Message::encoded_len);
    let parts = [
        ("command", command),
        ("artifacts", wire.artifacts.iter().map(prost::Message::encoded_len).sum()),
        ("labels", wire.labels.iter().map(|(key, value)| key.len() + value.len()).sum()),
    ];
    encoded_size(wire.encoded_len(), &parts, path, violations);
}
