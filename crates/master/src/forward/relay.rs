//! Sends one call to the leader and relays its answer.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::Frame;
use http_body_util::{BodyExt as _, Full};
use muster_proto::errors::{Failure, reason, reason_of, was_never_sent};
use muster_proto::server::{FORWARDED, FORWARDED_CERTIFICATE, MAX_REQUEST, failure_of_body};
use muster_store::Member;
use muster_tls::{CertificateHolder, ConnectionPeer};
use prost::bytes::{Bytes, BytesMut};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, HeaderValue, Request, Response, request};
use tonic::metadata::BinaryMetadataValue;
use tower::{Service as _, ServiceExt as _};

use super::router::Router;

/// A message's prefix on the wire: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// The outcome of a try.
pub(super) enum Sent {
    /// An answer to relay.
    Answer(Response<Body>),
    /// Nothing was done, so the call may be sent again.
    NotDone(Failure),
    /// It may have been done.
    Unknown(Failure),
}

/// Sends a call. An answer that is under way when the leader changes is cut off, so that nobody
/// waits for a leader that is paused or gone.
pub(super) async fn send(router: &Router, leader: &Member, head: &request::Parts, message: &Bytes) -> Sent {
    let mut channel = match router.peer(leader) {
        Ok(peer) => peer.channel(),
        Err(failure) => return Sent::NotDone(failure),
    };
    let repeatable = Router::is_repeatable(head.uri.path());
    if channel.ready().await.is_err() {
        return Sent::NotDone(Failure::NoLeader);
    }
    let mut request = Request::from_parts(head.clone(), Body::new(Full::new(message.clone())));
    request.headers_mut().insert(FORWARDED, HeaderValue::from_static("1"));
    if let Some(chain) = certificate_of(head) {
        request.headers_mut().insert(FORWARDED_CERTIFICATE, chain);
    }
    let answered = tokio::select! {
        answered = channel.call(request) => answered,
        () = outlived(router, leader) => return broken(repeatable, "the leader changed meanwhile"),
    };
    match answered {
        Err(error) if was_never_sent(&error) => Sent::NotDone(Failure::NoLeader),
        Err(error) => {
            tracing::debug!(%error, leader = leader.address, "a forwarded call broke");
            broken(repeatable, "the connection to the leader broke")
        }
        Ok(response) => match refused(&response) {
            Some(failure) => Sent::NotDone(failure),
            None if is_whole(&response) => Sent::Answer(response),
            None => Sent::Answer(response.map(|body| {
                Body::new(Relayed { body, repeatable, over: false, cut: Box::pin(cut(router, leader, repeatable)) })
            })),
        },
    }
}

/// The certificate of a client that makes a call. Its key was proven to this master, and the leader
/// verifies the rest; a bearer travels as it came.
fn certificate_of(head: &request::Parts) -> Option<HeaderValue> {
    let certificate = head.extensions.get::<ConnectionPeer>()?.certificate.as_ref()?;
    let CertificateHolder::Client(chain) = &certificate.holder else { return None };
    let encoded = BinaryMetadataValue::from_bytes(&chain.to_bytes());
    let mut value = HeaderValue::from_bytes(encoded.as_encoded_bytes()).ok()?;
    // It is left out of the tables of compressed headers, which all callers share here.
    value.set_sensitive(true);
    Some(value)
}

/// How long the last answers of an old leader are waited for. A leader that hands over has answered
/// what it took before its key is gone, and these answers arrive a moment later.
const LAST_ANSWERS: Duration = Duration::from_millis(200);

/// Ready once the leader no longer leads and its last answers have had their time.
fn outlived(router: &Router, leader: &Member) -> impl Future<Output = ()> + Send + use<> {
    let succeeded = router.succeeded(leader);
    async {
        succeeded.await;
        tokio::time::sleep(LAST_ANSWERS).await;
    }
}

/// Ready once an answer must be cut off: the leader no longer leads, or this master goes away and
/// the call can be repeated.
fn cut(router: &Router, leader: &Member, repeatable: bool) -> impl Future<Output = ()> + Send + use<> {
    let (outlived, slot) = (outlived(router, leader), router.slot.clone());
    async move {
        tokio::select! {
            () = outlived => {}
            () = slot.closed(), if repeatable => {}
        }
    }
}

fn broken(repeatable: bool, what: &str) -> Sent {
    if repeatable {
        Sent::NotDone(Failure::NoLeader)
    } else {
        Sent::Unknown(Failure::OutcomeUnknown { message: what.into() })
    }
}

/// `Some` if the master that was asked does not lead, and so did nothing.
pub(super) fn refused(response: &Response<Body>) -> Option<Failure> {
    let status = Status::from_header_map(response.headers())?;
    match reason_of(&status)?.as_str() {
        reason::NOT_LEADER | reason::NO_LEADER => Some(Failure::NoLeader),
        _ => None,
    }
}

/// Whether the headers are the whole answer: they contain the status (*Trailers-Only* in the gRPC
/// protocol), or the body ends with them, as in a plain HTTP error. Then no trailers follow, and
/// none may be added: clients take the last status that they read.
fn is_whole(response: &Response<Body>) -> bool {
    response.headers().contains_key(Status::GRPC_STATUS) || http_body::Body::is_end_stream(response.body())
}

/// The body of an answer. It ends with a status of this master if the leader or this master goes
/// away meanwhile.
struct Relayed {
    body: Body,
    repeatable: bool,
    over: bool,
    cut: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Relayed {
    fn cut_off(&mut self) -> Option<Result<Frame<Bytes>, Status>> {
        self.over = true;
        let failure = if self.repeatable {
            Failure::GoingAway
        } else {
            Failure::OutcomeUnknown { message: "the connection to the leader broke".to_owned() }
        };
        let mut trailers = HeaderMap::new();
        Some(match failure.to_status().add_header(&mut trailers) {
            Ok(()) => Ok(Frame::trailers(trailers)),
            Err(status) => Err(status),
        })
    }
}

impl http_body::Body for Relayed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.over {
            return Poll::Ready(None);
        }
        match this.body.poll_frame_unpin(context) {
            Poll::Ready(Some(Ok(frame))) => {
                this.over = frame.is_trailers();
                Poll::Ready(Some(Ok(frame)))
            }
            // An end without trailers, or an error: the connection is gone.
            Poll::Ready(Some(Err(_)) | None) => Poll::Ready(this.cut_off()),
            Poll::Pending => match this.cut.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(this.cut_off()),
                Poll::Pending => Poll::Pending,
            },
        }
    }
}

trait PollFrame {
    fn poll_frame_unpin(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>>;
}

impl PollFrame for Body {
    fn poll_frame_unpin(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        http_body::Body::poll_frame(Pin::new(self), context)
    }
}

/// Reads the one message of a request, as it is on the wire. One that is too large is refused as
/// soon as its prefix says so, before the rest of it is waited for. The length there is that of the
/// message as it was sent, compressed or not; the limit for both is the same.
pub(super) async fn read(mut body: Body) -> Result<Bytes, Failure> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        // Trailers of a request say nothing that is asked for here.
        let Ok(data) = frame.map_err(|status| failure_of_body(&status))?.into_data() else { continue };
        whole.extend_from_slice(&data);
        if whole.len() > MAX_REQUEST + PREFIX || announced(&whole).is_some_and(|length| length > MAX_REQUEST) {
            return Err(Failure::TooLarge { what: "a message", limit: MAX_REQUEST });
        }
    }
    Ok(whole.freeze())
}

/// The length of the first message, once its prefix is there.
fn announced(wire: &[u8]) -> Option<usize> {
    let length: [u8; 4] = wire.get(1..PREFIX)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(length)).ok()
}
