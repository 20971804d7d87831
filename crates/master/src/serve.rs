//! The gRPC server: services, limits, shutdown.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use muster_proto::flow_control::{MASTER_STREAMS, Windows};
use muster_proto::reflection::{self, ReflectionIndex};
use muster_proto::server::{self, CallMetrics, KnownHosts, MAX_HEADERS_READ, MAX_REQUEST};
use muster_proto::v1::access_service_server::{self, AccessServiceServer};
use muster_proto::v1::application_service_server::{self, ApplicationServiceServer};
use muster_proto::v1::master_service_server::{self, MasterServiceServer};
use muster_proto::v1::worker_link_service_server::{self, WorkerLinkServiceServer};
use muster_store::{Archive, LeaderWatch};
use muster_tls::{Incoming, ServerTls};
use muster_traces::Traces;
use tonic::codec::CompressionEncoding::Gzip as GZIP;
use tonic::transport::Server;
use tonic_health::server::HealthReporter;
use tower::util::MapRequest;

use crate::access::{AccessControl, Authenticate, Authorize, from_masters_alone};
use crate::api::{AccessApi, ApplicationApi, LogSources, MasterApi, RawWatch};
use crate::forward::{Forward, Router};
use crate::leader::LeaderSlot;
use crate::link::LinkService;
use crate::traced::Traced;

/// Largest message of a worker: a part of an inventory, or a batch of reports.
pub(crate) const MAX_LINK_MESSAGE: usize = 4 << 20;
/// A peer that is gone is noticed after both. Clients may ping as often as they like, which costs
/// nothing.
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Our own services. Those that every server has come on top
/// ([`COMMON_SERVICES`](reflection::COMMON_SERVICES)).
pub(crate) const SERVICES: [&str; 4] = [
    access_service_server::SERVICE_NAME,
    master_service_server::SERVICE_NAME,
    application_service_server::SERVICE_NAME,
    worker_link_service_server::SERVICE_NAME,
];

/// Who is on the other side, and what is told of the calls.
#[derive(Debug)]
pub(crate) struct Peers {
    /// The names by which clients may call this master.
    pub(crate) hosts: KnownHosts,
    /// The CA that certifies workers, and what this master shows to them; none without TLS.
    pub(crate) tls: Option<Arc<ServerTls>>,
    /// Who may do what.
    pub(crate) access: Arc<AccessControl>,
    /// Where the spans of calls go.
    pub(crate) traces: Traces,
}

/// The future of a server, to be spawned.
pub(crate) type ServerFuture = Pin<Box<dyn Future<Output = Result<(), tonic::transport::Error>> + Send>>;

/// Serves until `shutdown`, then lets calls that run end. The caller must bound this, because a
/// stream may never end by itself.
#[expect(clippy::too_many_arguments, reason = "what a server is made of, each of its own type")]
pub(crate) fn serve(
    incoming: Incoming,
    slot: &Arc<LeaderSlot>,
    election: &LeaderWatch,
    archive: Archive,
    health: HealthReporter,
    peers: Peers,
    calls: Arc<CallMetrics>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> ServerFuture {
    // Workers serve masters alone, and a leader believes nobody else in whose name a call is
    // forwarded.
    let as_master = peers.tls.as_ref().map(|tls| tls.trust().showing(tls.certificate()));
    let sources = Arc::new(LogSources::new(as_master.clone()));
    let master = MasterServiceServer::new(MasterApi::new(slot.clone(), sources, election.clone(), archive))
        .accept_compressed(GZIP)
        .send_compressed(GZIP)
        .max_decoding_message_size(MAX_REQUEST);
    let application = ApplicationServiceServer::new(ApplicationApi::new(slot.clone()))
        .accept_compressed(GZIP)
        .send_compressed(GZIP)
        .max_decoding_message_size(MAX_REQUEST);
    let callers = AccessServiceServer::new(AccessApi::new(slot.clone(), peers.tls, peers.access.clone()))
        .accept_compressed(GZIP)
        .send_compressed(GZIP)
        .max_decoding_message_size(MAX_REQUEST);
    // Links of workers are not compressed: heartbeats are small, and a link stays within one
    // machine room.
    let link = WorkerLinkServiceServer::new(LinkService::new(slot.clone(), election.clone()))
        .max_decoding_message_size(MAX_LINK_MESSAGE);
    let (hosts, traces) = (Arc::new(peers.hosts), peers.traces);
    let (outer, inner) = (peers.access.clone(), peers.access);
    let reflected = Arc::new(ReflectionIndex::lazy(&SERVICES));
    let has_tls = as_master.is_some();
    let forwarding = Arc::new(Router::new(slot.clone(), election.clone(), as_master));
    let router = Server::builder()
        .layer(tower::layer::layer_fn(move |services| {
            MapRequest::new(services, move |request| from_masters_alone(request, has_tls))
        }))
        .layer(tower::layer::layer_fn(move |services| server::counted(services, calls.clone())))
        .layer(tower::layer::layer_fn(move |services| server::guarded(services, hosts.clone())))
        .layer(tower::layer::layer_fn(move |services| Authenticate::new(services, outer.clone())))
        .layer(tower::layer::layer_fn(move |services| Forward::new(services, forwarding.clone())))
        .layer(tower::layer::layer_fn(move |services| Traced::new(services, traces)))
        .layer(tower::layer::layer_fn(move |services| Authorize::new(services, inner.clone())))
        .initial_stream_window_size(Windows::OF_MASTER.stream)
        .initial_connection_window_size(Windows::OF_MASTER.connection)
        .max_concurrent_streams(MASTER_STREAMS)
        .http2_max_header_list_size(MAX_HEADERS_READ)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .add_service(RawWatch::new(master, slot.clone()))
        .add_service(application)
        .add_service(callers)
        .add_service(link)
        .add_service(server::health(health))
        .add_service(reflection::v1(&reflected))
        .add_service(reflection::v1alpha(&reflected));
    Box::pin(router.serve_with_incoming_shutdown(incoming, shutdown))
}
