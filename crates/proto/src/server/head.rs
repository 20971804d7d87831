//! Refuses requests by their head alone, before anything of the body is read.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::header::CONTENT_TYPE;
use tonic::codegen::http::{Request, Response, StatusCode};

use super::{FORWARDED, KnownHosts, MAX_HEADERS};
use crate::errors::Failure;
use crate::text::shorten;

/// The most bytes of a foreign host that the refusal shows.
const SHOWN: usize = 100;
/// The bytes that HTTP/2 adds to the length of each name and value (RFC 9113, 6.5.2).
const EACH: usize = 32;
/// The pseudo-headers `:method`, `:scheme`, `:authority` and `:path`, with the values `POST` and
/// `http`, without the other two values.
const PSEUDO: usize = 7 + 4 + 7 + 4 + 10 + 5 + 4 * EACH;

/// Refuses requests that are no gRPC calls, calls of a server on loopback from elsewhere, and calls
/// whose headers are too large.
#[derive(Debug, Clone)]
pub struct CheckHead<S> {
    pub(super) inner: S,
    pub(super) hosts: Arc<KnownHosts>,
}

impl<S> Service<Request<Body>> for CheckHead<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match refusal_of(&request, &self.hosts) {
            Some(refusal) => Box::pin(std::future::ready(Ok(refusal))),
            None => Box::pin(self.inner.call(request)),
        }
    }
}

fn refusal_of(request: &Request<Body>, hosts: &KnownHosts) -> Option<Response<Body>> {
    if !is_call(request) {
        let mut refusal = Response::new(Body::empty());
        *refusal.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Some(refusal);
    }
    if let Some(mut host) = hosts.foreign(request.uri(), request.headers()) {
        shorten(&mut host, SHOWN);
        return Some(Failure::ForeignHost { host }.to_status().into_http());
    }
    // A forwarded call was measured where it arrived, and has grown since. The leader accepts it;
    // otherwise the same call would pass at one master and fail at another.
    let too_large = size(request) > MAX_HEADERS && !request.headers().contains_key(FORWARDED);
    let failure = Failure::TooLarge { what: "the list of headers", limit: MAX_HEADERS };
    too_large.then(|| failure.to_status().into_http())
}

/// The content types of calls that are understood here: messages in protobuf, which is also what a
/// type without a suffix means. JSON (`application/grpc+json`) and the framing of browsers
/// (`application/grpc-web`) would be misread, so they are refused like what is no call at all.
const KINDS: [&str; 2] = ["application/grpc", "application/grpc+proto"];

/// A gRPC call is known by its content type; the protocol demands that all other requests are
/// refused as HTTP. The type is compared as HTTP does: in any case, and without its parameters.
fn is_call(request: &Request<Body>) -> bool {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    KINDS.iter().any(|known| kind.eq_ignore_ascii_case(known))
}

/// The size of the list as HTTP/2 counts it.
fn size(request: &Request<Body>) -> usize {
    let uri = request.uri();
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len());
    let path = uri.path_and_query().map_or(0, |path| path.as_str().len());
    let fields = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + EACH);
    PSEUDO + authority + path + fields.sum::<usize>()
}
