//! `WatchApplication`: this stream is an application's session.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use muster_core::{Answer, ExecutorView, Request, SessionEnd, SessionNumber};
use muster_proto::errors::Failure;
use muster_proto::{v1, validate};
use muster_types::Caller;
use tokio_stream::Stream;
use tonic::Status;

use super::owned;
use super::submit::unexpected;
use crate::leader::LeaderContext;
use crate::sessions::{OpenedSession, SessionEnding, SessionItem, executor_to_wire};

/// The most events in one response.
const GATHERED: usize = 64;

pub(crate) async fn open(
    leading: Arc<LeaderContext>,
    caller: &Caller,
    wire: v1::WatchApplicationRequest,
) -> Result<SessionStream, Failure> {
    let validate::WatchApplication { application, token, resume } = validate::watch_application(wire)?;
    let application = owned::steered(&leading, caller, application, token.as_ref())?;
    let token = token.map(|token| token.expose().to_owned());
    let answered = leading.submit(Request::OpenSession { application, token }).await?;
    let (executors, opened) = match (answered.answer, answered.session) {
        (Answer::Session(_, _, executors), Some(opened)) => (executors, *opened),
        (other, _) => return Err(unexpected(&other)),
    };
    let first = first_response(&opened, &executors, resume);
    Ok(SessionStream { first: Some(first), opened, over: false })
}

/// The missed events if the session resumes without a gap, else a snapshot of the executors.
fn first_response(
    opened: &OpenedSession,
    executors: &[Arc<ExecutorView>],
    resume: Option<u64>,
) -> v1::WatchApplicationResponse {
    let missed = resume.and_then(|after| opened.missed(after));
    v1::WatchApplicationResponse {
        session: opened.session.0,
        snapshot: match missed {
            Some(_) => Vec::new(),
            None => executors.iter().map(|executor| executor_to_wire(executor)).collect(),
        },
        is_snapshot: missed.is_none(),
        events: missed.unwrap_or_default().iter().map(|item| (**item).clone()).collect(),
        revision: opened.revision,
    }
}

pub(crate) struct SessionStream {
    first: Option<v1::WatchApplicationResponse>,
    opened: OpenedSession,
    over: bool,
}

impl Stream for SessionStream {
    type Item = Result<v1::WatchApplicationResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        if this.over {
            return Poll::Ready(None);
        }
        let mut items: Vec<SessionItem> = Vec::new();
        let taken = this.opened.queue.poll_recv_many(context, &mut items, GATHERED);
        match taken {
            Poll::Ready(0) => {
                this.over = true;
                let ending = this.opened.ending.try_recv().unwrap_or(SessionEnding::Shutdown);
                Poll::Ready(last_of(ending, this.opened.session).map(Err))
            }
            Poll::Ready(_) => Poll::Ready(Some(Ok(response(&items)))),
            Poll::Pending => Poll::Pending,
        }
    }
}

fn response(items: &[SessionItem]) -> v1::WatchApplicationResponse {
    v1::WatchApplicationResponse {
        session: 0,
        snapshot: Vec::new(),
        is_snapshot: false,
        events: items.iter().map(|item| (**item).clone()).collect(),
        revision: items.last().map_or(0, |item| item.revision),
    }
}

/// The last status of a stream. `None` is the good end: the last event said that the application
/// has ended.
fn last_of(ending: SessionEnding, session: SessionNumber) -> Option<Status> {
    let got = || format!("session {}", session.0);
    let failure = match ending {
        SessionEnding::Core(SessionEnd::Ended) => return None,
        SessionEnding::Core(SessionEnd::Superseded) => {
            Failure::Fenced { have: "a newer session is open".to_owned(), got: got() }
        }
        SessionEnding::Core(SessionEnd::Fenced) => {
            Failure::Fenced { have: "the attempt it belongs to is closed".to_owned(), got: got() }
        }
        SessionEnding::TooSlow => Failure::WatcherTooSlow { resume_token: String::new() },
        SessionEnding::Shutdown => Failure::GoingAway,
    };
    Some(failure.into())
}
