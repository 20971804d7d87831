//! Serves the worker's service, with health and reflection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use muster_proto::flow_control::WORKER_STREAMS;
use muster_proto::reflection::{self, COMMON_SERVICES, ReflectionIndex};
use muster_proto::server::{self, KnownHosts, MAX_HEADERS_READ, MAX_REQUEST};
use muster_proto::v1::worker_service_server::{SERVICE_NAME, WorkerServiceServer};
use muster_tls::{Acceptor, TlsError, connections};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::codec::CompressionEncoding::Gzip as GZIP;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::{Handlers, ServiceState};
use crate::status::AgentStatus;

/// Connections at one time: those of masters, and of people on the machine.
const MAX_CONNECTIONS: usize = 1_024;
/// How soon a peer that is gone is noticed.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Why the worker's own service ended.
#[derive(Debug, thiserror::Error)]
pub enum WorkerServiceError {
    /// The server failed.
    #[error(transparent)]
    Server(#[from] tonic::transport::Error),
    /// There is no TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// The server, ready to run.
#[derive(Debug)]
pub struct Server {
    state: Arc<ServiceState>,
    listener: TcpListener,
}

/// Listens. Returns the listener and the address that was bound.
pub async fn bind(address: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

impl Server {
    /// A server of this state on the listener.
    pub fn new(state: Arc<ServiceState>, listener: TcpListener) -> Server {
        Server { state, listener }
    }

    /// Serves until `stop` changes. Streams that are open then are cut; their readers resume.
    pub async fn run(self, mut stop: watch::Receiver<bool>) -> Result<(), WorkerServiceError> {
        let health = HealthReporter::new();
        let health_service = server::health(health.clone());
        let worker = WorkerServiceServer::new(Handlers(self.state.clone()));
        let worker = worker.accept_compressed(GZIP).send_compressed(GZIP).max_decoding_message_size(MAX_REQUEST);
        for service in [SERVICE_NAME, "liveness"].into_iter().chain(COMMON_SERVICES) {
            health.set_service_status(service, ServingStatus::Serving).await;
        }
        health.set_service_status("readiness", ServingStatus::NotServing).await;
        let readiness = tokio::spawn(keep_readiness(health, self.state.status.clone()));
        let certificate = self.state.certificate.as_ref().zip(self.state.trust.as_ref());
        let tls = certificate.map(|(shown, trust)| Acceptor::of_worker(&shown.held, trust)).transpose()?;
        let hosts = match self.listener.local_addr() {
            Ok(listen) => KnownHosts::of(listen, [self.state.address.clone()]),
            Err(_) => KnownHosts::Loopback(Vec::new()),
        };
        let hosts = Arc::new(hosts);
        let calls = self.state.status.metrics().calls.clone();
        let reflected = Arc::new(ReflectionIndex::lazy(&[SERVICE_NAME]));
        let serving = tonic::transport::Server::builder()
            .max_concurrent_streams(WORKER_STREAMS)
            .http2_max_header_list_size(MAX_HEADERS_READ)
            .http2_keepalive_interval(Some(KEEPALIVE))
            .layer(tower::layer::layer_fn(move |services| server::counted(services, calls.clone())))
            .layer(tower::layer::layer_fn(move |services| server::guarded(services, hosts.clone())))
            .add_service(health_service)
            .add_service(reflection::v1(&reflected))
            .add_service(reflection::v1alpha(&reflected))
            .add_service(worker)
            .serve_with_incoming(connections(self.listener, tls, MAX_CONNECTIONS));
        let served = tokio::select! {
            served = serving => Ok(served?),
            _ = stop.wait_for(|stop| *stop) => Ok(()),
        };
        readiness.abort();
        served
    }
}

async fn keep_readiness(health: HealthReporter, status: AgentStatus) {
    let mut changes = status.subscribe();
    loop {
        let ready = changes.borrow_and_update().is_ready();
        let serving = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        health.set_service_status("readiness", serving).await;
        if changes.changed().await.is_err() {
            return;
        }
    }
}
