//! Keeps the deadline that a caller sets (`grpc-timeout`) for the whole call.
//!
//! tonic answers CANCELLED when the deadline passes, where gRPC demands DEADLINE_EXCEEDED. It also
//! applies the deadline only to the first byte of the answer, so that a stream would go on for
//! ever.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Frame, SizeHint};
use prost::bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{HeaderMap, Request, Response};

use crate::FieldViolations;
use crate::errors::Failure;

/// The header in which a caller sets its deadline.
const TIMEOUT: &str = "grpc-timeout";
/// How long before the caller's deadline a call is ended, so that neither the caller's own clock
/// nor tonic, which know the same deadline, ends it first with another code. It is at most a tenth
/// of the time.
const AHEAD: Duration = Duration::from_millis(5);
/// The longest deadline: a longer one means for ever, and no sum of times overflows.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Ends calls at their deadlines.
#[derive(Debug, Clone)]
pub struct EndAtDeadline<S>(pub(super) S);

impl<S> Service<Request<Body>> for EndAtDeadline<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let within = match within(request.headers()) {
            Ok(within) => within,
            Err(refusal) => return Box::pin(std::future::ready(Ok(refusal.to_status().into_http()))),
        };
        let answer = self.0.call(request);
        let Some(within) = within else { return Box::pin(answer) };
        let deadline = Instant::now() + (within - AHEAD.min(within / 10));
        Box::pin(async move {
            match timeout_at(deadline, answer).await {
                Ok(answer) => Ok(answer?.map(|body| Body::new(UntilDeadline::new(body, deadline)))),
                Err(_) => Ok(passed().into_http()),
            }
        })
    }
}

fn passed() -> Status {
    Status::deadline_exceeded("the deadline of the call has passed")
}

/// The time that a caller sets; `None` without one. An unreadable time is refused, as by the other
/// servers of gRPC: a caller that set a deadline must not be left without one.
fn within(headers: &HeaderMap) -> Result<Option<Duration>, Failure> {
    let Some(value) = headers.get(TIMEOUT) else { return Ok(None) };
    let within = value.to_str().ok().and_then(read).ok_or_else(|| {
        let form = "malformed; up to eight digits and one of the units H, M, S, m, u, n";
        Failure::BadRequest(FieldViolations::of(TIMEOUT, form))
    });
    within.map(Some)
}

/// Reads up to eight digits and a unit (gRPC over HTTP/2, "Timeout").
fn read(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    let within = match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    };
    Some(within.min(LONGEST))
}

/// A body that ends with DEADLINE_EXCEEDED unless it has ended before the deadline.
struct UntilDeadline {
    body: Body,
    deadline: Pin<Box<Sleep>>,
    over: bool,
}

impl UntilDeadline {
    fn new(body: Body, deadline: Instant) -> UntilDeadline {
        UntilDeadline { body, deadline: Box::pin(sleep_until(deadline)), over: false }
    }
}

impl http_body::Body for UntilDeadline {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if this.over {
            return Poll::Ready(None);
        }
        if this.deadline.as_mut().poll(context).is_ready() {
            this.over = true;
            let mut trailers = HeaderMap::new();
            passed().add_header(&mut trailers)?;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        Pin::new(&mut this.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_read_as_grpc_writes_it() {
        assert_eq!(read("20m"), Some(Duration::from_millis(20)));
        assert_eq!(read("3S"), Some(Duration::from_secs(3)));
        assert_eq!(read("2M"), Some(Duration::from_secs(120)));
        assert_eq!(read("1H"), Some(Duration::from_secs(3600)));
        assert_eq!(read("7u"), Some(Duration::from_micros(7)));
        assert_eq!(read("9n"), Some(Duration::from_nanos(9)));
        assert_eq!(read("99999999H"), Some(LONGEST));
        for wrong in ["", "m", "5", "-1S", "+1S", "123456789S", "1 S", "1x"] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
        assert_eq!(within(&HeaderMap::new()), Ok(None), "without the header there is no deadline");
    }
}
