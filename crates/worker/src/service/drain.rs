//! A drain that is asked for at the worker. The master decides on it, so it is passed on.

use std::time::Duration;

use muster_proto::errors::Failure;
use muster_proto::v1;
use muster_proto::v1::master_service_client::MasterServiceClient;
use muster_tls::Connector;
use tonic::transport::Endpoint;
use tonic::{Request, Status as GrpcStatus};

use super::ServiceState;

/// How long the master may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn drain(state: &ServiceState, wait: bool) -> Result<v1::DrainResponse, GrpcStatus> {
    let Some((master, _)) = state.status.view().registered else { return Err(Failure::NoLeader.to_status()) };
    let unreachable = |message: String| {
        tracing::warn!(master, message, "cannot pass on a drain");
        Failure::NoLeader.to_status()
    };
    let endpoint = Endpoint::from_shared(format!("http://{master}")).map_err(|error| unreachable(error.to_string()))?;
    let trust = match (&state.trust, &state.certificate) {
        (Some(trust), Some(certificate)) => Some(trust.showing(&certificate.held)),
        (trust, _) => trust.clone(),
    };
    let connector = Connector::new(trust, PATIENCE);
    let channel = endpoint
        .timeout(PATIENCE)
        .connect_with_connector(connector)
        .await
        .map_err(|error| unreachable(error.to_string()))?;
    let request = v1::DrainWorkerRequest { worker_id: state.uid.clone(), ..v1::DrainWorkerRequest::default() };
    let mut request = Request::new(request);
    if let Some(token) = state.token.as_ref().filter(|_| state.trust.is_none()) {
        token.attach_where_private(&mut request, &master, false);
    }
    MasterServiceClient::new(channel).drain_worker(request).await?;
    let mut changes = state.attempts.changes();
    loop {
        let remaining = state.attempts.running().len();
        if !wait || remaining == 0 {
            return Ok(v1::DrainResponse { remaining: u32::try_from(remaining).unwrap_or(u32::MAX) });
        }
        if changes.changed().await.is_err() {
            return Err(Failure::GoingAway.to_status());
        }
    }
}
