//! A request that is too large, answered in one way.
//!
//! What reads requests answers `OUT_OF_RANGE` to a message whose length is beyond the limit, and
//! `RESOURCE_EXHAUSTED` to one that shows it when it is unpacked, both without details.

use std::pin::Pin;
use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};
use tonic::{Code, Status};

use super::MAX_REQUEST;
use crate::errors::{Failure, reason_of};

/// Whether a library made this status of a message that is too large for it.
/// Every status of ours has a reason, and the library has no other use for these codes.
fn is_of_size(status: &Status) -> bool {
    matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted) && reason_of(status).is_none()
}

/// What is said of a stream whose next message cannot be read.
pub fn status_of_read(status: Status, limit: usize) -> Status {
    if is_of_size(&status) { Failure::TooLarge { what: "a message", limit }.to_status() } else { status }
}

/// Answers a request that is too large. The one message of a call is read before its answer begins,
/// so the status is in the headers; who reads a stream of messages asks [`status_of_read`].
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
        // What it says fits a header: it holds nothing of the request.
        let _ = failure.to_status().add_header(response.headers_mut());
    }
    response
}
