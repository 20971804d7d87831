//! Requests that only name something.

use super::checks::existing_name;
use crate::{FieldViolations, Path, v1};

fn named(value: String, field: &str) -> Result<String, FieldViolations> {
    let mut violations = FieldViolations::new();
    existing_name(&value, &Path::root(field), &mut violations);
    violations.unless_any(value)
}

/// The name or uid of the driver.
pub fn get_driver(wire: v1::GetDriverRequest) -> Result<String, FieldViolations> {
    named(wire.driver_id, "driver_id")
}

/// The name or uid of the application.
pub fn get_application(wire: v1::GetApplicationRequest) -> Result<String, FieldViolations> {
    named(wire.application_id, "application_id")
}

/// The name or uid of the worker.
pub fn get_worker(wire: v1::GetWorkerRequest) -> Result<String, FieldViolations> {
    named(wire.worker_id, "worker_id")
}
