//! The service grpc.health.v1.Health over the state of a `HealthReporter`.
//!
//! The service of `tonic-health` ends the watch of an unknown name with NOT_FOUND, where the
//! protocol demands that it says SERVICE_UNKNOWN and goes on. All else is left to that crate.

use std::pin::Pin;

use tokio_stream::{Stream, StreamExt as _};
use tonic::codec::CompressionEncoding::Gzip;
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health as HealthMethods, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_health::server::{HealthReporter, HealthService};

use super::MAX_REQUEST;

/// The handler of grpc.health.v1.
#[derive(Debug)]
pub struct HealthHandler(HealthService);

/// The service grpc.health.v1.Health, which takes gzip like all else. The reporter must know every
/// name before the first call: the watch of a name that it does not know then never hears of it.
pub fn health(reporter: HealthReporter) -> HealthServer<HealthHandler> {
    HealthServer::new(HealthHandler(HealthService::from_health_reporter(reporter)))
        .accept_compressed(Gzip)
        .send_compressed(Gzip)
        .max_decoding_message_size(MAX_REQUEST)
}

#[tonic::async_trait]
impl HealthMethods for HealthHandler {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        self.0.check(request).await
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        match self.0.watch(request).await {
            Ok(response) => Ok(response.map(|statuses| Box::pin(statuses) as Self::WatchStream)),
            Err(status) if status.code() == Code::NotFound => {
                let unknown = HealthCheckResponse { status: ServingStatus::ServiceUnknown.into() };
                Ok(Response::new(Box::pin(tokio_stream::once(Ok(unknown)).chain(tokio_stream::pending()))))
            }
            Err(status) => Err(status),
        }
    }
}
