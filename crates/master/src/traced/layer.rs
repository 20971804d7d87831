//! The layer around the services that makes a span of each call that changes something.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use muster_proto::methods::{Method, READS};
use muster_proto::server::{code_of, code_word};
use muster_proto::trace::of_headers;
use muster_traces::{SpanKind, TraceSpan, Traces};
use tonic::Code;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tower::Service;

/// The services behind the layer.
#[derive(Debug, Clone)]
pub(crate) struct Traced<S> {
    inner: S,
    traces: Traces,
}

impl<S> Traced<S> {
    pub(crate) fn new(inner: S, traces: Traces) -> Traced<S> {
        Traced { inner, traces }
    }
}

/// Whether a call has a span: one that changes something, and is over with its answer. Reads are
/// repeated by whoever waits, and streams are open for days.
fn has_span(method: Method) -> bool {
    !method.answers_with_a_stream() && !READS.contains(&method.path()) && method.path().starts_with("/muster.")
}

type TracedFuture = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl<S> Service<Request<Body>> for Traced<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = TracedFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> TracedFuture {
        let method = Method::of_path(request.uri().path()).filter(|method| self.traces.is_on() && has_span(*method));
        let Some(method) = method else { return Box::pin(self.inner.call(request)) };
        let name = method.path().trim_start_matches('/');
        let mut span = self.traces.start(name, SpanKind::Server, of_headers(request.headers()));
        span.set("rpc.system.name", "grpc");
        span.set("rpc.method", name);
        // The handler goes on below this span.
        if let Some(context) = span.context() {
            request.extensions_mut().insert(context);
        }
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await?;
            finish(span, code_of(response.headers()).unwrap_or(Code::Ok));
            Ok(response)
        })
    }
}

fn finish(mut span: TraceSpan, code: Code) {
    let word = code_word(code);
    span.set("rpc.response.status_code", word);
    // What the caller did wrong is no error of a server.
    let is_error = matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    );
    if is_error {
        span.set("error.type", word);
        span.fail(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_something_has_a_span_and_what_lasts_or_is_repeated_has_none() {
        let has = |path: &str| has_span(Method::of_path(path).unwrap());
        assert!(has("/muster.v1.MasterService/SubmitDriver"));
        assert!(has("/muster.v1.ApplicationService/RegisterApplication"));
        for path in [
            "/muster.v1.MasterService/GetDriver",
            "/muster.v1.MasterService/WatchEvents",
            "/muster.v1.WorkerLinkService/Link",
            "/grpc.health.v1.Health/Check",
        ] {
            assert!(!has(path), "{path}");
        }
    }
}
