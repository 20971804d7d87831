//! What probes are told.

use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// The services that are there once calls are answered, by this master or through it. `""` speaks
/// for all of them.
const SERVICES: [&str; 5] =
    ["", "readiness", "muster.v1.MasterService", "muster.v1.ApplicationService", "muster.v1.WorkerLinkService"];

/// Tells probes how this master stands. `liveness` never means the store, nor leadership:
/// restarting a master mends neither.
#[derive(Debug, Clone)]
pub(crate) struct Health(HealthReporter);

impl Health {
    /// Alive, and not ready yet.
    pub(crate) async fn new(reporter: HealthReporter) -> Health {
        let health = Health(reporter);
        health.0.set_service_status("liveness", ServingStatus::Serving).await;
        health.serves(false).await;
        health
    }

    /// Whether calls are answered here. A standby forwards them and is ready: readiness never means
    /// leadership.
    pub(crate) async fn serves(&self, serves: bool) {
        let status = if serves { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in SERVICES {
            self.0.set_service_status(service, status).await;
        }
    }
}
