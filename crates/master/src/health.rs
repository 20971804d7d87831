//! The answers to health probes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
pub(crate) struct Health {
    reporter: HealthReporter,
    /// What the reporter says of readiness, for probes over HTTP.
    is_ready: Arc<AtomicBool>,
}

impl Health {
    /// This master is alive, and not ready yet.
    pub(crate) async fn new(reporter: HealthReporter) -> Health {
        let health = Health { reporter, is_ready: Arc::default() };
        health.reporter.set_service_status("liveness", ServingStatus::Serving).await;
        health.serves(false).await;
        health
    }

    /// Sets whether calls are answered here. A standby forwards calls and is ready: readiness does
    /// not mean leadership.
    pub(crate) async fn serves(&self, serves: bool) {
        let status = if serves { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in READINESS.into_iter().chain(SERVICES).chain(COMMON_SERVICES) {
            self.reporter.set_service_status(service, status).await;
        }
        self.is_ready.store(serves, Ordering::Relaxed);
    }

    /// What was set last.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Relaxed)
    }
}
