//! One watch, as a stream of responses.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};
use tokio_stream::Stream;

use super::encoded::Piece;
use super::hub::{Hub, Live, Next, WatchEnd};
use super::log::{OutOfRange, Wanted};
use muster_proto::tokens::ResumeToken;

/// A quiet watch is told where it stands this often, so that a client resumes near the head after a quiet day. Well below the kept hour.
const BOOKMARK_EVERY: Duration = Duration::from_secs(15);

/// Why a watch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WatchError {
    /// What follows its position is no longer kept.
    OutOfRange(OutOfRange),
    /// We ended it; it may resume from here.
    Ended(WatchEnd, ResumeToken),
}

/// First a bookmark or what was missed, then what happens; bookmarks when nothing does.
pub(crate) struct Watch {
    hub: Arc<Hub>,
    wanted: Wanted,
    position: ResumeToken,
    live: Option<Live>,
    bookmark: Pin<Box<Sleep>>,
    begun: bool,
    over: bool,
}

impl Watch {
    /// A watch of what follows a position, which has been checked.
    pub(crate) fn new(hub: Arc<Hub>, wanted: Wanted, from: ResumeToken) -> Watch {
        let bookmark = Box::pin(tokio::time::sleep(BOOKMARK_EVERY));
        Watch { hub, wanted, position: from, live: None, bookmark, begun: false, over: false }
    }

    fn sent(&mut self, piece: Piece) -> Poll<Option<Result<Piece, WatchError>>> {
        self.begun = true;
        self.position = self.position.max(piece.position);
        self.bookmark.as_mut().reset(Instant::now() + BOOKMARK_EVERY);
        Poll::Ready(Some(Ok(piece)))
    }

    fn ended(&mut self, error: WatchError) -> Poll<Option<Result<Piece, WatchError>>> {
        self.over = true;
        Poll::Ready(Some(Err(error)))
    }

    /// Reads from the window until it has caught up.
    fn catch_up(&mut self) -> Option<Poll<Option<Result<Piece, WatchError>>>> {
        match self.hub.next(self.position, &self.wanted) {
            Err(gone) => Some(self.ended(WatchError::OutOfRange(gone))),
            Ok(Next::Piece(piece)) => Some(self.sent(piece)),
            Ok(Next::Live(live)) => {
                self.live = Some(live);
                (!self.begun).then(|| self.sent(Piece { events: Vec::new(), position: self.position }))
            }
        }
    }
}

impl Stream for Watch {
    type Item = Result<Piece, WatchError>;

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
        // Read before the queue: what was published up to here is in the queue already.
        let quiet = this.bookmark.as_mut().poll(context).is_ready().then(|| this.hub.head());
        let Some(live) = this.live.as_mut() else { return Poll::Ready(None) };
        match live.queue.poll_recv(context) {
            Poll::Ready(Some(piece)) => this.sent(piece),
            Poll::Ready(None) => {
                let end = live.end.get().copied().unwrap_or(WatchEnd::Shutdown);
                this.ended(WatchError::Ended(end, this.position))
            }
            Poll::Pending => match quiet {
                Some(head) => {
                    let position = this.position.max(head);
                    let bookmark = this.sent(Piece { events: Vec::new(), position });
                    // The timer was used up: have it wake this task again.
                    let _ = this.bookmark.as_mut().poll(context);
                    bookmark
                }
                None => Poll::Pending,
            },
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(live) = &self.live {
            self.hub.leave(live.id);
        }
    }
}
