//! The worker's own gRPC service: its attempts, their logs, and its health.

mod drain;
mod inventory;
mod read_log;
mod server;

use std::sync::Arc;

use muster_proto::BearerToken;
use muster_proto::v1;
use muster_proto::v1::worker_service_server::WorkerService;
use muster_tls::Trust;
use muster_types::AllocatedResources;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status as GrpcStatus};

use crate::attempts::Attempts;
use crate::certificate::ShownCertificate;
use crate::launch::AttemptDirectories;
use crate::logs::Truncations;
use crate::status::AgentStatus;

pub use server::{Server, WorkerServiceError, bind};

/// What the handlers read.
#[derive(Debug)]
pub struct ServiceState {
    /// Name of the worker.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The address of the service that others are told.
    pub address: String,
    /// The masters that are trusted; connections are in the clear without.
    pub trust: Option<Trust>,
    /// The credential that masters are shown.
    pub token: Option<BearerToken>,
    /// The certificate that masters are shown, and that this server shows to them.
    pub certificate: Option<ShownCertificate>,
    /// All its resources.
    pub total: AllocatedResources,
    /// The attempts.
    pub attempts: Attempts,
    /// The state of link and runner.
    pub status: AgentStatus,
    /// The directories of the attempts.
    pub layout: Arc<AttemptDirectories>,
    /// Counts of truncations.
    pub truncations: Arc<Truncations>,
}

/// The service.
#[derive(Debug, Clone)]
pub(crate) struct Handlers(pub(crate) Arc<ServiceState>);

#[tonic::async_trait]
impl WorkerService for Handlers {
    type ReadLogStream = ReceiverStream<Result<v1::WorkerServiceReadLogResponse, GrpcStatus>>;

    async fn get_inventory(
        &self,
        _request: Request<v1::GetInventoryRequest>,
    ) -> Result<Response<v1::GetInventoryResponse>, GrpcStatus> {
        Ok(Response::new(inventory::show(&self.0)))
    }

    async fn read_log(
        &self,
        request: Request<v1::WorkerServiceReadLogRequest>,
    ) -> Result<Response<Self::ReadLogStream>, GrpcStatus> {
        read_log::begin(self.0.clone(), request.into_inner()).await.map(Response::new)
    }

    async fn drain(&self, request: Request<v1::DrainRequest>) -> Result<Response<v1::DrainResponse>, GrpcStatus> {
        drain::drain(&self.0, request.into_inner().wait).await.map(Response::new)
    }
}
