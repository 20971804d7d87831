//! One call, tried until it is done, refused, or out of time.

use std::future::Future;
use std::time::{Duration, Instant};

use muster_proto::errors::{leader_hint, may_succeed_later, retry_after};
use muster_proto::trace::attach;
use muster_types::Verdict;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use crate::connection::Connection;
use crate::error::{is_better_elsewhere, never_sent, verdict};
use crate::routes::Route;
use crate::{Backoff, CallError, Client, MessageStream};

/// How many leader hints in a row are followed without a wait: two masters may name each other.
const MAX_HOPS: u32 = 3;

/// How long a call waits for a connection while another master is left to try: several times what a
/// connection takes on any network that a cluster spans. A machine that is gone does not answer at
/// all, and must not use up the time of a call.
const CONNECT_PATIENCE: Duration = Duration::from_millis(250);

/// Which side enforces the time of a try. A deadline on the wire applies to a whole stream, so the
/// client alone enforces the deadline for opening one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CallDeadline {
    /// Both sides, so that the server drops a call for which nobody waits any more.
    OnWire,
    /// The client alone.
    OfOpening,
}

/// The state between the tries of one call.
struct CallTries {
    method: &'static str,
    begun: Instant,
    count: u32,
    hops: u32,
    may_be_done: bool,
    backoff: Backoff,
}

impl Client {
    /// Repeats `send` until a master answers or refuses for good, or the deadline passes. The call
    /// must be harmless to repeat: a read, or a mutation with a request id.
    pub(crate) async fn call<Q, A, F, Fut>(&self, method: &'static str, body: Q, send: F) -> Result<A, CallError>
    where
        Q: Clone,
        F: Fn(Channel, Request<Q>) -> Fut,
        Fut: Future<Output = Result<Response<A>, Status>>,
    {
        Ok(self.try_until(CallTries::new(method), body, CallDeadline::OnWire, send).await?.0)
    }

    /// The same for a call that answers with a stream. The deadline covers the opening alone, so it
    /// is not sent: a deadline on the wire would apply to the whole stream.
    pub(crate) async fn open<Q, A, F, Fut>(
        &self,
        method: &'static str,
        body: Q,
        send: F,
    ) -> Result<MessageStream<A>, CallError>
    where
        Q: Clone,
        F: Fn(Channel, Request<Q>) -> Fut,
        Fut: Future<Output = Result<Response<Streaming<A>>, Status>>,
    {
        let (pieces, address) = self.try_until(CallTries::new(method), body, CallDeadline::OfOpening, send).await?;
        Ok(MessageStream::new(pieces, address, self.routes.clone()))
    }

    async fn try_until<Q, A, F, Fut>(
        &self,
        mut tries: CallTries,
        body: Q,
        deadline: CallDeadline,
        send: F,
    ) -> Result<(A, String), CallError>
    where
        Q: Clone,
        F: Fn(Channel, Request<Q>) -> Fut,
        Fut: Future<Output = Result<Response<A>, Status>>,
    {
        loop {
            let route =
                self.routes.current(&self.options).map_err(|(address, error)| tries.no_route(address, error))?;
            let timeout = tries.left(self.options.deadline).min(self.options.try_timeout);
            let mut request = Request::new(body.clone());
            if deadline == CallDeadline::OnWire {
                request.set_timeout(timeout);
            }
            if let Some(token) = &self.options.token {
                token.attach_where_private(&mut request, &route.address, self.options.trust.is_some());
            }
            if let Some(trace) = &self.options.trace {
                attach(&mut request, trace);
            }
            let connection = route.connection();
            let patience = if self.routes.has_other(&route.address) { CONNECT_PATIENCE } else { timeout };
            match one_try(connection, patience, timeout, send(connection.channel(), request)).await {
                Ok(response) => {
                    self.routes.answered(&route.address, response.metadata());
                    return Ok((response.into_inner(), route.address.clone()));
                }
                Err(status) => self.after_failure(&mut tries, &route, status).await?,
            }
        }
    }

    /// Handles a failed try. Returns `Ok` after the wait if another try follows, else the error of
    /// the call.
    async fn after_failure(&self, tries: &mut CallTries, route: &Route, status: Status) -> Result<(), CallError> {
        tries.count += 1;
        if !may_succeed_later(&status) {
            // This answer is definite: if an earlier try had been applied, its repetition under the
            // same request id would have got the answer to that try.
            let verdict = verdict(&status);
            return Err(tries.give_up(route, status, verdict));
        }
        tries.may_be_done |= verdict(&status) == Verdict::Unknown;
        if let Some(leader) = leader_hint(&status)
            && tries.hops < MAX_HOPS
            && self.routes.follow(&route.address, &leader)
        {
            tries.hops += 1;
            return Ok(());
        }
        tries.hops = 0;
        if is_better_elsewhere(&status) {
            self.routes.failed(&route.address, &status);
        }
        let wait = tries.backoff.next_wait(retry_after(&status));
        if wait >= tries.left(self.options.deadline) {
            let verdict = if tries.may_be_done { Verdict::Unknown } else { Verdict::NotApplied };
            return Err(tries.give_up(route, status, verdict));
        }
        tracing::debug!(method = tries.method, master = %route.address, code = ?status.code(), ?wait, "trying again");
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

/// One try. It ends with the answer, after `timeout`, or after `patience` if its connection is not
/// up by then.
async fn one_try<A>(
    connection: &Connection,
    patience: Duration,
    timeout: Duration,
    call: impl Future<Output = Result<A, Status>>,
) -> Result<A, Status> {
    let begun = connection.now();
    {
        tokio::pin!(call);
        match tokio::time::timeout(patience.min(timeout), &mut call).await {
            Ok(answer) => return answer,
            Err(_) if connection.is_up() => {
                let left = timeout.saturating_sub(patience);
                if let Ok(answer) = tokio::time::timeout(left, call).await {
                    return answer;
                }
            }
            Err(_) => {}
        }
    }
    Err(if connection.never_up_since(begun) { never_sent() } else { Status::deadline_exceeded("no answer in time") })
}

impl CallTries {
    fn new(method: &'static str) -> CallTries {
        CallTries { method, begun: Instant::now(), count: 0, hops: 0, may_be_done: false, backoff: Backoff::default() }
    }

    fn left(&self, deadline: Duration) -> Duration {
        deadline.saturating_sub(self.begun.elapsed())
    }

    fn give_up(&self, route: &Route, status: Status, verdict: Verdict) -> CallError {
        let address = route.address.clone();
        CallError { method: self.method, address, tries: self.count, verdict, status }
    }

    /// The error for an address that is not a valid endpoint.
    fn no_route(&self, address: String, error: tonic::transport::Error) -> CallError {
        CallError {
            method: self.method,
            address,
            tries: self.count,
            verdict: if self.may_be_done { Verdict::Unknown } else { Verdict::NotApplied },
            status: Status::from_error(Box::new(error)),
        }
    }
}
