//! One watch, as a stream of responses.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};
use tokio_stream::Stream;

use super::broker::{CatchUp, EventBroker, LiveWatch, WatchEnd};
use super::encoded::Chunk;
use super::log::{EventFilter, OutOfRange};
use muster_proto::tokens::ResumeToken;

/// A quiet watch gets a bookmark this often, so that a client resumes near the head after a quiet
/// day. It is well below the hour for which events are kept by default.
const BOOKMARK_EVERY: Duration = Duration::from_secs(15);

/// Why a watch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WatchError {
    /// What follows its position is no longer kept.
    OutOfRange(OutOfRange),
    /// This master ended the watch, which may resume from this token.
    Ended(WatchEnd, ResumeToken),
}

/// First a bookmark or the missed events, then new events as they happen; bookmarks while there are
/// none.
pub(crate) struct EventStream {
    broker: Arc<EventBroker>,
    wanted: EventFilter,
    position: ResumeToken,
    live: Option<LiveWatch>,
    bookmark: Pin<Box<Sleep>>,
    begun: bool,
    over: bool,
}

impl EventStream {
    /// A watch of what follows `from`, which must have been checked.
    pub(crate) fn new(broker: Arc<EventBroker>, wanted: EventFilter, from: ResumeToken) -> EventStream {
        let bookmark = Box::pin(tokio::time::sleep(BOOKMARK_EVERY));
        EventStream { broker, wanted, position: from, live: None, bookmark, begun: false, over: false }
    }

    fn sent(&mut self, chunk: Chunk) -> Poll<Option<Result<Chunk, WatchError>>> {
        self.begun = true;
        self.position = self.position.max(chunk.position);
        self.bookmark.as_mut().reset(Instant::now() + BOOKMARK_EVERY);
        Poll::Ready(Some(Ok(chunk)))
    }

    fn ended(&mut self, error: WatchError) -> Poll<Option<Result<Chunk, WatchError>>> {
        self.over = true;
        Poll::Ready(Some(Err(error)))
    }

    /// Reads the next response from the window. `None` once the watch has caught up and needs no
    /// first bookmark.
    fn catch_up(&mut self) -> Option<Poll<Option<Result<Chunk, WatchError>>>> {
        match self.broker.next(self.position, &self.wanted) {
            Err(gone) => Some(self.ended(WatchError::OutOfRange(gone))),
            Ok(CatchUp::Piece(chunk)) => Some(self.sent(chunk)),
            Ok(CatchUp::Live(live)) => {
                self.live = Some(live);
                (!self.begun).then(|| self.sent(Chunk { events: Vec::new(), position: self.position }))
            }
        }
    }
}

impl Stream for EventStream {
    type Item = Result<Chunk, WatchError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.over {
            return Poll::Ready(None);
        }
        if this.live.is_none()
            && let Some(ready) = this.catch_up()
        {
            return ready;
        }
        // The head is read before the queue, so that everything published up to it is in the queue
        // already.
        let quiet = this.bookmark.as_mut().poll(context).is_ready().then(|| this.broker.head());
        let Some(live) = this.live.as_mut() else { return Poll::Ready(None) };
        match live.queue.poll_recv(context) {
            Poll::Ready(Some(chunk)) => this.sent(chunk),
            Poll::Ready(None) => {
                let end = live.end.get().copied().unwrap_or(WatchEnd::Shutdown);
                this.ended(WatchError::Ended(end, this.position))
            }
            Poll::Pending => match quiet {
                Some(head) => {
                    let position = this.position.max(head);
                    let bookmark = this.sent(Chunk { events: Vec::new(), position });
                    // The timer was reset: this poll makes it wake the task again.
                    let _ = this.bookmark.as_mut().poll(context);
                    bookmark
                }
                None => Poll::Pending,
            },
        }
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        if let Some(live) = &self.live {
            self.broker.leave(live.id);
        }
    }
}
