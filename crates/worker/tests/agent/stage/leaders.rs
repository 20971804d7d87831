//! What a staged master says of the leader. Of a master's methods it serves `WatchLeader`, and
//! drains, which it takes without a further deed.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use muster_proto::v1;
use tokio::sync::{Notify, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{Grpc, NamedService, ServerStreamingService, UnaryService};
use tonic::{Request, Response, Status};

/// Each watch gets the present answer and every change of it. There are as many receivers as
/// watches.
#[derive(Clone, Default)]
pub(super) struct Leaders {
    pub(super) said: watch::Sender<v1::WatchLeaderResponse>,
    /// Ends an open watch.
    pub(super) cut: Arc<Notify>,
    pub(super) begun: Arc<AtomicUsize>,
    /// The credentials of the drains.
    pub(super) drained_by: Arc<Mutex<Vec<Option<String>>>>,
}

impl NamedService for Leaders {
    const NAME: &'static str = "muster.v1.MasterService";
}

impl Service<http::Request<Body>> for Leaders {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let this = self.clone();
        if request.uri().path().ends_with("/DrainWorker") {
            return Box::pin(
                async move { Ok(Grpc::new(tonic_prost::ProstCodec::default()).unary(this, request).await) },
            );
        }
        Box::pin(async move { Ok(Grpc::new(tonic_prost::ProstCodec::default()).server_streaming(this, request).await) })
    }
}

impl ServerStreamingService<v1::WatchLeaderRequest> for Leaders {
    type Response = v1::WatchLeaderResponse;
    type ResponseStream = ReceiverStream<Result<v1::WatchLeaderResponse, Status>>;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, _request: Request<v1::WatchLeaderRequest>) -> Self::Future {
        let (mut leader, cut) = (self.said.subscribe(), Arc::clone(&self.cut));
        leader.mark_changed();
        self.begun.fetch_add(1, Ordering::SeqCst);
        let (said, stream) = mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                let changed = tokio::select! {
                    changed = leader.changed() => changed.is_ok(),
                    () = said.closed() => false,
                    () = cut.notified() => false,
                };
                let now = leader.borrow_and_update().clone();
                if !changed || said.send(Ok(now)).await.is_err() {
                    return;
                }
            }
        });
        Box::pin(async move { Ok(Response::new(ReceiverStream::new(stream))) })
    }
}

impl UnaryService<v1::DrainWorkerRequest> for Leaders {
    type Response = v1::DrainWorkerResponse;
    type Future = BoxFuture<Response<Self::Response>, Status>;

    fn call(&mut self, request: Request<v1::DrainWorkerRequest>) -> Self::Future {
        self.drained_by.lock().expect("no panic").push(bearer_of(&request));
        Box::pin(async { Ok(Response::new(v1::DrainWorkerResponse::default())) })
    }
}

/// What a request shows for its credential.
pub(super) fn bearer_of<T>(request: &Request<T>) -> Option<String> {
    request.metadata().get("authorization").map(|value| value.to_str().expect("text").to_owned())
}
