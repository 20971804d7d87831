//! The answers to health probes.

use muster_proto::reflection::COMMON_SERVICES;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::serve::SERVICES;

/// The names that say whether calls are answered, by this master or through it, beside the services
/// that reflection lists. `""` stands for all of them.
const READINESS: [&str; 2] = ["", "readiness"];

/// Tells probes the state of this master. `liveness` depends neither on the store nor on
/// leadership, because a restart of the master repairs neither.
#[derive(Debug, Clone)]
pub(crate) struct Health(HealthReporter);

impl Health {
    /// This master is alive, and not ready yet.
    pub(crate) async fn new(reporter: HealthReporter) -> Health {
        let health = Health(reporter);
        health.0.set_service_status("liveness", ServingStatus::Serving).await;
        health.serves(false).await;
        health
    }

    /// Sets whether calls are answered here. A standby forwards calls and is ready: readiness does
    /// not mean leadership.
    pub(crate) async fn serves(&self, serves: bool) {
        let status = if serves { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in READINESS.into_iter().chain(SERVICES).chain(COMMON_SERVICES) {
            self.0.set_service_status(service, status).await;
        }
    }
}
