//! Requests about workers.

use std::time::Duration;

use muster_types::{AttemptKey, RequestId, WorkerUid};

use super::checks::{bounded_length, existing_name, request_id};
use crate::{FieldViolations, Path, v1};

const MAX_DRAIN: Duration = Duration::from_secs(31 * 24 * 3600);

/// A request that names a worker and nothing else.
#[derive(Debug, Clone)]
pub struct NamedWorker {
    /// Name or uid.
    pub worker: String,
    /// Makes it idempotent.
    pub request: Option<RequestId>,
}

fn named(worker: String, request: String) -> Result<NamedWorker, FieldViolations> {
    let mut violations = FieldViolations::new();
    existing_name(&worker, &Path::root("worker_id"), &mut violations);
    let request = request_id(request, &mut violations);
    violations.unless_any(NamedWorker { worker, request })
}

/// The drain of a worker.
#[derive(Debug, Clone)]
pub struct DrainWorker {
    /// Name or uid.
    pub worker: String,
    /// Makes it idempotent.
    pub request: Option<RequestId>,
    /// The time after which the remaining work is ended.
    pub deadline: Option<Duration>,
}

/// Checks a drain.
pub fn drain_worker(wire: v1::DrainWorkerRequest) -> Result<DrainWorker, FieldViolations> {
    let mut violations = FieldViolations::new();
    existing_name(&wire.worker_id, &Path::root("worker_id"), &mut violations);
    let request = request_id(wire.request_id, &mut violations);
    let asked = wire.deadline.is_some();
    let deadline = bounded_length(
        wire.deadline,
        Duration::ZERO,
        Duration::ZERO..=MAX_DRAIN,
        &Path::root("deadline"),
        &mut violations,
    );
    violations.unless_any(DrainWorker { worker: wire.worker_id, request, deadline: asked.then_some(deadline) })
}

/// Checks the undoing of a drain.
pub fn undrain_worker(wire: v1::UndrainWorkerRequest) -> Result<NamedWorker, FieldViolations> {
    named(wire.worker_id, wire.request_id)
}

/// Checks a forget.
pub fn forget_worker(wire: v1::ForgetWorkerRequest) -> Result<NamedWorker, FieldViolations> {
    named(wire.worker_id, wire.request_id)
}

/// Checks a revocation.
pub fn revoke_worker(wire: v1::RevokeWorkerRequest) -> Result<NamedWorker, FieldViolations> {
    named(wire.worker_id, wire.request_id)
}

/// A certificate that a worker asks for.
#[derive(Debug, Clone)]
pub struct IssueWorkerCertificate {
    /// The worker.
    pub worker: WorkerUid,
    /// The request (PKCS #10, in DER).
    pub certificate_request: prost::bytes::Bytes,
}

/// The most bytes of a request for a certificate.
const MAX_CERTIFICATE_REQUEST: usize = 4 << 10;

/// Checks the form of a request for a certificate.
pub fn issue_worker_certificate(
    wire: v1::IssueWorkerCertificateRequest,
) -> Result<IssueWorkerCertificate, FieldViolations> {
    let mut violations = FieldViolations::new();
    let worker = wire.worker_uid.parse();
    if worker.is_err() {
        violations.add(&Path::root("worker_uid"), "must be 32 hexadecimal digits");
    }
    if !(1..=MAX_CERTIFICATE_REQUEST).contains(&wire.certificate_request.len()) {
        violations.add(&Path::root("certificate_request"), "must have 1 to 4096 bytes");
    }
    let worker = worker.unwrap_or(WorkerUid(0));
    violations.unless_any(IssueWorkerCertificate { worker, certificate_request: wire.certificate_request })
}

/// A request about one attempt on a worker.
#[derive(Debug, Clone)]
pub struct AttemptOnWorker {
    /// Name or uid of the worker.
    pub worker: String,
    /// The attempt.
    pub attempt: AttemptKey,
    /// Makes it idempotent.
    pub request: Option<RequestId>,
}

fn attempt_on_worker(worker: String, attempt: &str, request: String) -> Result<AttemptOnWorker, FieldViolations> {
    let mut violations = FieldViolations::new();
    existing_name(&worker, &Path::root("worker_id"), &mut violations);
    let attempt: Option<AttemptKey> = attempt.parse().ok();
    if attempt.is_none() {
        violations.add(&Path::root("attempt_id"), "is no attempt: d-UID-NUMBER or e-UID-NUMBER, as it is shown");
    }
    let request = request_id(request, &mut violations);
    match attempt {
        Some(attempt) => violations.unless_any(AttemptOnWorker { worker, attempt, request }),
        None => Err(violations),
    }
}

/// Checks a forget of one attempt.
pub fn forget_attempt(wire: v1::ForgetAttemptRequest) -> Result<AttemptOnWorker, FieldViolations> {
    attempt_on_worker(wire.worker_id, &wire.attempt_id, wire.request_id)
}

/// Checks the end of a quarantined attempt.
pub fn end_quarantined(wire: v1::EndQuarantinedRequest) -> Result<AttemptOnWorker, FieldViolations> {
    attempt_on_worker(wire.worker_id, &wire.attempt_id, wire.request_id)
}
