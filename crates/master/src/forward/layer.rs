//! The tower layer that forwards calls.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body_util::Full;
use muster_proto::errors::Failure;
use muster_proto::server::FORWARDED;
use muster_tls::{CertificateHolder, ConnectionPeer};
use prost::bytes::Bytes;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::codegen::http::header::AUTHORIZATION;
use tonic::codegen::http::{Request, Response, request};
use tower::Service;

use super::relay::{Sent, read, refused, send};
use super::router::{CallTarget, HOLD, Router};

/// The header of every answer that lists the known masters: addresses separated by commas, the
/// leader's first.
const MASTERS: &str = "muster-masters";

/// The services behind the layer.
#[derive(Debug, Clone)]
pub(crate) struct Forward<S> {
    inner: S,
    router: Arc<Router>,
}

impl<S> Forward<S> {
    pub(crate) fn new(inner: S, router: Arc<Router>) -> Forward<S> {
        Forward { inner, router }
    }
}

type ForwardFuture = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl<S> Service<Request<Body>> for Forward<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ForwardFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> ForwardFuture {
        let router = self.router.clone();
        // The instance that was polled ready must be the one that is called.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let concerns = Router::concerns(request.uri().path());
        Box::pin(async move {
            let answered =
                if concerns { answer(&router, &mut inner, request).await } else { Ok(inner.call(request).await?) };
            let mut response = answered.unwrap_or_else(|failure| failure.to_status().into_http());
            if let Some(masters) = router.masters() {
                response.headers_mut().insert(MASTERS, masters);
            }
            Ok(response)
        })
    }
}

/// Answers a call that only a leader answers: by this master if it leads, else by the leader. While
/// nobody leads, the call is held. If this master stops leading before it handles the call, nothing
/// was done, and the call goes to the next leader.
async fn answer<S>(router: &Router, inner: &mut S, request: Request<Body>) -> Result<Response<Body>, Failure>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let was_forwarded = request.headers().contains_key(FORWARDED);
    let stays = is_by_connection(router, &request);
    let (head, body) = request.into_parts();
    let message = read(body).await?;
    let mut changes = router.changes();
    if matches!(router.target(), CallTarget::Own) {
        let response = own(inner, &head, &message).await;
        if refused(&response).is_none() {
            return Ok(response);
        }
    }
    let until = Instant::now() + HOLD;
    let _place = router.permit()?;
    loop {
        let failure = match router.target() {
            CallTarget::Own => {
                let response = own(inner, &head, &message).await;
                match refused(&response) {
                    Some(failure) => failure,
                    None => return Ok(response),
                }
            }
            // The views of this master and of the sender may both be outdated, so a call is
            // forwarded only once. And what is forwarded comes without the caller's connection.
            CallTarget::Other(leader) if was_forwarded || stays => {
                return Err(Failure::NotLeader { leader: Some(leader.address), epoch: Some(leader.epoch) });
            }
            CallTarget::Other(leader) => match send(router, &leader, &head, &message).await {
                Sent::Answer(response) => return Ok(response),
                Sent::Unknown(failure) => return Err(failure),
                Sent::NotDone(failure) => failure,
            },
            // No other master leads, and this one goes away.
            CallTarget::Soon | CallTarget::Nobody if router.slot.is_closed() => return Err(Failure::NoLeader),
            CallTarget::Soon | CallTarget::Nobody => router.slot.leading().err().unwrap_or(Failure::NoLeader),
        };
        if tokio::time::timeout_at(until, changes.next()).await.is_err() {
            return Err(failure);
        }
    }
}

/// Whether the caller is judged by its connection, and has no token that could be handed on: a
/// worker by its certificate, or a program in the clear, which others than a master in transition
/// refuse. The certificate of a client is handed on.
fn is_by_connection(router: &Router, request: &Request<Body>) -> bool {
    let Some(peer) = request.extensions().get::<ConnectionPeer>() else { return false };
    let is_worker = peer.certificate.as_ref().is_some_and(|shown| matches!(shown.holder, CertificateHolder::Worker(_)));
    let is_plaintext = router.is_encrypted() && !peer.is_encrypted;
    (is_worker || is_plaintext) && !request.headers().contains_key(AUTHORIZATION)
}

async fn own<S>(inner: &mut S, head: &request::Parts, message: &Bytes) -> Response<Body>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let request = Request::from_parts(head.clone(), Body::new(Full::new(message.clone())));
    match std::future::poll_fn(|context| inner.poll_ready(context)).await {
        Ok(()) => match inner.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        },
        Err(never) => match never {},
    }
}
