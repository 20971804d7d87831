//! Counts calls by method and code, and how long they take. The methods are those of the protos,
//! so the number of series is bounded, whatever callers send.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use http_body::{Frame, SizeHint};
use prost::bytes::Bytes;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{HeaderMap, Request, Response, StatusCode};
use tonic::{Code, Status};

use super::metrics::{AtomicHistogram, MetricName, MetricsWriter, SECONDS};
use crate::methods::Method;

/// The words of the codes, in the order of their numbers.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The word of a code.
pub fn code_word(code: Code) -> &'static str {
    CODES[code as usize]
}

/// The figures of one method.
#[derive(Debug)]
struct MethodMetrics {
    codes: [AtomicU64; CODES.len()],
    duration: AtomicHistogram,
}

/// The figures of all methods. The last entry stands for what is no method.
#[derive(Debug)]
pub struct CallMetrics(Vec<MethodMetrics>);

impl Default for CallMetrics {
    fn default() -> CallMetrics {
        let entry = || MethodMetrics { codes: Default::default(), duration: AtomicHistogram::of_seconds(SECONDS) };
        CallMetrics(std::iter::repeat_with(entry).take(Method::ALL.len() + 1).collect())
    }
}

impl CallMetrics {
    fn of(&self, method: Option<Method>) -> Option<&MethodMetrics> {
        self.0.get(method.map_or(Method::ALL.len(), |method| method as usize))
    }

    /// Writes the figures of every method that was called.
    pub fn write(&self, page: &mut MetricsWriter<'_>, calls: MetricName, duration: MetricName) -> fmt::Result {
        let names = Method::ALL.iter().map(|method| method.path().trim_start_matches('/')).chain(["unknown"]);
        let called: Vec<_> = names.zip(&self.0).filter(|(_, figures)| figures.duration.total() > 0).collect();
        let codes = called.iter().flat_map(|(name, figures)| {
            let counts = figures.codes.iter().map(|count| count.load(Ordering::Relaxed));
            let counted = CODES.into_iter().zip(counts).filter(|(_, count)| *count > 0);
            counted.map(|(code, count)| ([("method", *name), ("code", code)], count))
        });
        page.counters(calls, codes)?;
        page.histograms(duration, called.iter().map(|(name, figures)| ([("method", *name)], &figures.duration)))
    }
}

/// Counts the calls of the services behind it.
#[derive(Debug, Clone)]
pub struct CountCalls<S> {
    pub(super) inner: S,
    pub(super) calls: Arc<CallMetrics>,
}

/// A call that is not answered yet. One whose caller goes away is counted as cancelled.
struct OpenCall {
    calls: Arc<CallMetrics>,
    method: Option<Method>,
    began: Instant,
    is_timed: bool,
    code: Code,
}

impl OpenCall {
    fn end(mut self, code: Code) {
        self.code = code;
    }

    /// The answer begins.
    fn time(&mut self) {
        if !std::mem::replace(&mut self.is_timed, true)
            && let Some(figures) = self.calls.of(self.method)
        {
            figures.duration.observe(self.began.elapsed());
        }
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.time();
        if let Some(count) = self.calls.of(self.method).and_then(|figures| figures.codes.get(self.code as usize)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<S> Service<Request<Body>> for CountCalls<S>
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
        let method = Method::of_path(request.uri().path());
        let mut call = OpenCall {
            calls: self.calls.clone(),
            method,
            began: Instant::now(),
            is_timed: false,
            code: Code::Cancelled,
        };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await?;
            call.time();
            // What is refused as HTTP has no code of gRPC.
            let is_http = response.status() != StatusCode::OK;
            match code_of(response.headers()).or(is_http.then_some(Code::Unknown)) {
                Some(code) => call.end(code),
                // The code of a stream comes at its end. A single answer has succeeded.
                None if method.is_some_and(Method::answers_with_a_stream) => {
                    return Ok(response.map(|body| Body::new(CountedBody { body, call: Some(call) })));
                }
                None => call.end(Code::Ok),
            }
            Ok(response)
        })
    }
}

/// The code that the headers of an answer carry: they do if it is an error without a message.
pub fn code_of(headers: &HeaderMap) -> Option<Code> {
    headers.get(Status::GRPC_STATUS).map(|code| Code::from_bytes(code.as_bytes()))
}

/// The body of a stream, whose end tells the code of the call.
struct CountedBody {
    body: Body,
    call: Option<OpenCall>,
}

impl http_body::Body for CountedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        let code = match &frame {
            Some(Ok(frame)) => frame.trailers_ref().and_then(code_of),
            Some(Err(status)) => Some(status.code()),
            None => None,
        };
        if let Some(code) = code
            && let Some(call) = self.call.take()
        {
            call.end(code);
        }
        Poll::Ready(frame)
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
    fn the_words_of_the_codes_are_those_of_grpc_in_order() {
        for (number, word) in CODES.iter().enumerate() {
            let code = Code::from(i32::try_from(number).unwrap());
            assert_eq!(code as usize, number);
            assert_eq!(word.replace('_', "").to_lowercase(), format!("{code:?}").to_lowercase(), "{number}");
        }
    }

    #[test]
    fn every_method_has_its_place() {
        for (place, method) in Method::ALL.iter().enumerate() {
            assert_eq!(*method as usize, place);
        }
    }
}
