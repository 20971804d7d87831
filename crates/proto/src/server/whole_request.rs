//! Waits a bounded time for the single message of a call, and refuses a second one.
//!
//! tonic reads the first message and ignores what follows it. A caller that sends two is mistaken
//! about the method, and would never learn that one of them was ignored.
//!
//! Without the bound, a caller without a deadline that never ends its request would hold its stream
//! and the memory of the message for as long as its connection lasts.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Frame, SizeHint};
use prost::bytes::Bytes;
use tokio::time::{Sleep, sleep};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};
use tonic::{Code, Status};

use crate::FieldViolations;
use crate::errors::Failure;
use crate::methods;

/// How long a request may take to arrive; the largest takes this long at 100 kB/s.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);

/// Whether a method takes a stream of messages, which may last long.
fn takes_a_stream(path: &str) -> bool {
    path.starts_with("/grpc.reflection.") || methods::CLIENT_STREAMS.contains(&path)
}

/// Gives up requests of one message that do not end in time, or that go on after the message.
#[derive(Debug, Clone)]
pub struct AwaitRequest<S>(pub(super) S);

impl<S> Service<Request<Body>> for AwaitRequest<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> S::Future {
        if takes_a_stream(request.uri().path()) || http_body::Body::is_end_stream(request.body()) {
            return self.0.call(request);
        }
        self.0.call(request.map(|body| Body::new(AwaitedBody { body, given_up: None, message: OneMessage::default() })))
    }
}

/// The length of a message's prefix: whether it is compressed, and how long it is.
const PREFIX: usize = 5;

/// How far the only message of a request has arrived.
#[derive(Debug, Default)]
struct OneMessage {
    prefix: Vec<u8>,
    /// What is missing of the message; known once its prefix is there.
    missing: Option<usize>,
}

impl OneMessage {
    /// Takes the next bytes of the body. False if some of them come after the message.
    fn take(&mut self, mut data: &[u8]) -> bool {
        if self.missing.is_none() {
            let (prefix, rest) = data.split_at(data.len().min(PREFIX - self.prefix.len()));
            self.prefix.extend_from_slice(prefix);
            data = rest;
            let length: Option<[u8; 4]> = self.prefix.get(1..PREFIX).and_then(|length| length.try_into().ok());
            self.missing = length.and_then(|length| usize::try_from(u32::from_be_bytes(length)).ok());
        }
        match &mut self.missing {
            Some(missing) if data.len() > *missing => false,
            Some(missing) => {
                *missing -= data.len();
                true
            }
            None => true,
        }
    }
}

fn second_message() -> Failure {
    Failure::BadRequest(FieldViolations::of("request", "goes on after its message; this method takes one message"))
}

/// Why the body of a request of one message could not be read.
pub fn failure_of_body(status: &Status) -> Failure {
    if status.code() == Code::InvalidArgument { second_message() } else { Failure::NotQueued }
}

/// A body that fails if it has not ended in time, or has more than one message.
struct AwaitedBody {
    body: Body,
    /// Set at the first wait: most bodies arrive together with their headers.
    given_up: Option<Pin<Box<Sleep>>>,
    message: OneMessage,
}

impl http_body::Body for AwaitedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
            let is_one = data.is_none_or(|data| this.message.take(data));
            return Poll::Ready(if is_one { frame } else { Some(Err(second_message().to_status())) });
        }
        let given_up = this.given_up.get_or_insert_with(|| Box::pin(sleep(REQUEST_WITHIN)));
        given_up.as_mut().poll(context).map(|()| Some(Err(Failure::NotQueued.to_status())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_told_from_what_follows_it_however_it_is_cut() {
        let whole = [0, 0, 0, 0, 3, 7, 8, 9];
        for size in 1..=whole.len() {
            let mut message = OneMessage::default();
            assert!(whole.chunks(size).all(|part| message.take(part)), "parts of {size}");
            assert!(message.take(&[]) && !message.take(&[0]), "parts of {size}");
        }
        assert!(!OneMessage::default().take(&[whole.as_slice(), &[0]].concat()));
        let mut empty = OneMessage::default();
        assert!(empty.take(&[0; 5]) && !empty.take(&[0; 5]));
    }

    #[test]
    fn what_takes_a_stream_of_messages_may_last() {
        for stream in ["/muster.v1.WorkerLinkService/Link", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"]
        {
            assert!(takes_a_stream(stream), "{stream}");
        }
        for call in ["/muster.v1.MasterService/WatchEvents", "/grpc.health.v1.Health/Watch", "/nothing"] {
            assert!(!takes_a_stream(call), "{call}");
        }
    }
}
