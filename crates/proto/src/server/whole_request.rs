//! Waits a bounded time for the single message of a call.
//!
//! Without the bound, a caller without a deadline that never ends its request would hold its stream
//! and the memory of the message for as long as its connection lasts.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Frame, SizeHint};
use prost::bytes::Bytes;
use tokio::time::{Sleep, sleep};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};

use crate::errors::Failure;
use crate::methods;

/// How long a request may take to arrive; the largest takes this long at 100 kB/s.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);

/// Methods of ours that take a stream of messages.
static STREAMS: LazyLock<HashSet<String>> = LazyLock::new(methods::client_streams);

/// Whether a method takes a stream of messages, which may last long.
fn takes_a_stream(path: &str) -> bool {
    path.starts_with("/grpc.reflection.") || STREAMS.contains(path)
}

/// Gives up requests of one message that do not end in time.
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
        self.0.call(request.map(|body| Body::new(AwaitedBody { body, given_up: None })))
    }
}

/// A body that fails if it has not ended in time.
struct AwaitedBody {
    body: Body,
    /// Set at the first wait: most bodies arrive together with their headers.
    given_up: Option<Pin<Box<Sleep>>>,
}

impl http_body::Body for AwaitedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            return Poll::Ready(frame);
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
