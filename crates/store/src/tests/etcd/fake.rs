//! A server that reports a version of etcd, and serves nothing else.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic_prost::ProstCodec;

/// The fields of etcd's answer that are used here.
#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone)]
struct Maintenance(&'static str);

impl NamedService for Maintenance {
    const NAME: &'static str = "etcdserverpb.Maintenance";
}

type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl UnaryService<Status> for Maintenance {
    type Response = Status;
    type Future = Answer<Result<tonic::Response<Status>, tonic::Status>>;

    fn call(&mut self, _: tonic::Request<Status>) -> Self::Future {
        let version = self.0.to_owned();
        Box::pin(async { Ok(tonic::Response::new(Status { version })) })
    }
}

impl Service<http::Request<Body>> for Maintenance {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer<Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let own = self.clone();
        Box::pin(async { Ok(Grpc::new(ProstCodec::<Status, Status>::default()).unary(own, request).await) })
    }
}

/// Serves until the test ends; returns the endpoint.
pub(super) async fn serve(version: &'static str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = listener.local_addr().unwrap().to_string();
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    tokio::spawn(tonic::transport::Server::builder().add_service(Maintenance(version)).serve_with_incoming(incoming));
    endpoint
}
