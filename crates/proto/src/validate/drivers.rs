//! Requests about drivers.

use std::sync::Arc;

use muster_types::{DriverId, DriverSpec, RequestId};

use super::checks::{chosen_name, existing_name, request_id, required};
use super::driver::driver_spec;
use crate::{FieldViolations, Path, tokens, v1};

/// The submission of a driver.
#[derive(Debug, Clone)]
pub struct SubmitDriver {
    /// Chosen name.
    pub id: Option<DriverId>,
    /// What to run.
    pub spec: Arc<DriverSpec>,
    /// Makes it idempotent.
    pub request: Option<RequestId>,
    /// Only report what would happen.
    pub validate_only: bool,
}

/// Checks a submission.
pub fn submit_driver(wire: v1::SubmitDriverRequest) -> Result<SubmitDriver, FieldViolations> {
    let mut violations = FieldViolations::new();
    let path = Path::root("driver");
    let named = chosen_name(&wire.driver_id, &Path::root("driver_id"), &mut violations);
    let request = request_id(wire.request_id, &mut violations);
    let Some(spec) = required(wire.driver, &path, &mut violations) else { return Err(violations) };
    let spec = Arc::new(driver_spec(spec, &path, &mut violations));
    violations.unless_any(SubmitDriver {
        id: named.then(|| DriverId::new(wire.driver_id)),
        spec,
        request,
        validate_only: wire.validate_only,
    })
}

/// The kill of a driver.
#[derive(Debug, Clone)]
pub struct KillDriver {
    /// Name or uid.
    pub driver: String,
    /// Makes it idempotent.
    pub request: Option<RequestId>,
    /// Kill only if the record still has this version.
    pub version: Option<u64>,
}

/// Checks a kill.
pub fn kill_driver(wire: v1::KillDriverRequest) -> Result<KillDriver, FieldViolations> {
    let mut violations = FieldViolations::new();
    existing_name(&wire.driver_id, &Path::root("driver_id"), &mut violations);
    let version = match wire.etag.as_str() {
        "" => None,
        etag => match tokens::version_of_etag(etag) {
            Ok(version) => Some(version),
            Err(error) => {
                violations.add(&Path::root("etag"), error.to_string());
                None
            }
        },
    };
    let request = request_id(wire.request_id, &mut violations);
    violations.unless_any(KillDriver { driver: wire.driver_id, request, version })
}
