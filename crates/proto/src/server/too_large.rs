//! One answer to every request that is too large.
//!
//! tonic answers `OUT_OF_RANGE` to a message whose length is beyond the limit, and
//! `RESOURCE_EXHAUSTED` to one that turns out too large when it is decompressed, both without
//! details.

use std::pin::Pin;
use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};
use tonic::{Code, Status};

use super::MAX_REQUEST;
use crate::errors::{Failure, reason_of};

/// Whether a library made this status because a message is too large for it. Every status of ours
/// has a reason, and the library has no other use for these codes.
fn is_of_size(status: &Status) -> bool {
    matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted) && reason_of(status).is_none()
}

/// The status to answer when the next message of a stream cannot be read.
pub fn status_of_read(status: Status, limit: usize) -> Status {
    if is_of_size(&status) { Failure::TooLarge { what: "a message", limit }.to_status() } else { status }
}

/// Answers a request that is too large. The only message of a call is read before its answer
/// begins, so the status is in the headers; handlers of message streams call [`status_of_read`].
#[derive(Debug, Clone)]
pub struct NameTooLarge<S>(pub(super) S);

impl<S> Service<Request<Body>> for NameTooLarge<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answer = self.0.call(request);
        Box::pin(async move { answer.await.map(named) })
    }
}

fn named(mut response: Response<Body>) -> Response<Body> {
    if Status::from_header_map(response.headers()).is_some_and(|status| is_of_size(&status)) {
        let failure = Failure::TooLarge { what: "a message", limit: MAX_REQUEST };
        // An error cannot happen: the status fits a header, because it holds nothing of the
        // request.
        let _ = failure.to_status().add_header(response.headers_mut());
    }
    response
}
