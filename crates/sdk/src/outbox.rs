//! What waits to go out on a stream. Whoever adds to it never waits for the stream: what is added
//! while the stream is busy goes out as one message.

use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio_stream::Stream;

/// The most items of a message.
pub(crate) const MESSAGE_ITEMS: usize = 1024;
/// The most bytes of a message, but for one item that is larger by itself.
pub(crate) const MESSAGE_BYTES: usize = 1 << 20;

/// What is gathered between two messages.
pub(crate) trait OutgoingBatch: Default + Send + 'static {
    /// What goes out.
    type Message: Send;

    /// Takes the next message; `None` when nothing is left.
    fn take_message(&mut self) -> Option<Self::Message>;
}

/// Where messages of one stream are added. It is cheap to clone.
#[derive(Debug)]
pub(crate) struct LinkOutbox<B>(Arc<LinkOutboxShared<B>>);

impl<B> Clone for LinkOutbox<B> {
    fn clone(&self) -> Self {
        LinkOutbox(self.0.clone())
    }
}

#[derive(Debug)]
struct LinkOutboxShared<B> {
    state: Mutex<LinkOutboxState<B>>,
    taken: Condvar,
}

#[derive(Debug)]
struct LinkOutboxState<B> {
    batch: B,
    waker: Option<Waker>,
    is_closed: bool,
}

impl<B: OutgoingBatch> LinkOutbox<B> {
    /// An empty one, and the stream that carries it.
    pub(crate) fn new() -> (LinkOutbox<B>, LinkOutboxStream<B>) {
        let state = LinkOutboxState { batch: B::default(), waker: None, is_closed: false };
        let shared = Arc::new(LinkOutboxShared { state: Mutex::new(state), taken: Condvar::new() });
        (LinkOutbox(shared.clone()), LinkOutboxStream(shared))
    }

    /// Adds something, and has it sent.
    pub(crate) fn add(&self, change: impl FnOnce(&mut B)) {
        self.add_quietly(change);
        self.wake();
    }

    /// Adds something that is sent with what is added next, or by [`LinkOutbox::wake`].
    pub(crate) fn add_quietly<R>(&self, change: impl FnOnce(&mut B) -> R) -> Option<R> {
        let mut state = self.lock();
        (!state.is_closed).then(|| change(&mut state.batch))
    }

    /// Has what was added sent.
    pub(crate) fn wake(&self) {
        let waker = self.lock().waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits until this holds for what was added and not sent yet, or nothing is sent any more.
    pub(crate) fn wait_until(&self, mut holds: impl FnMut(&B) -> bool) {
        let mut state = self.lock();
        while !state.is_closed && !holds(&state.batch) {
            if let Some(waker) = state.waker.take() {
                waker.wake();
            }
            state = self.0.taken.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends the stream once all that was added is sent.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.0.taken.notify_all();
        self.wake();
    }

    /// Has those look again who wait for something that is no longer held back elsewhere.
    pub(crate) fn notify(&self) {
        self.0.taken.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, LinkOutboxState<B>> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The stream of an outbox. When it is dropped, nothing more is kept.
#[derive(Debug)]
pub(crate) struct LinkOutboxStream<B: OutgoingBatch>(Arc<LinkOutboxShared<B>>);

impl<B: OutgoingBatch> Stream for LinkOutboxStream<B> {
    type Item = B::Message;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<B::Message>> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(message) = state.batch.take_message() {
            self.0.taken.notify_all();
            return Poll::Ready(Some(message));
        }
        if state.is_closed {
            return Poll::Ready(None);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl<B: OutgoingBatch> Drop for LinkOutboxStream<B> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_closed = true;
        state.batch = B::default();
        self.0.taken.notify_all();
    }
}

/// How many of these items go into one message.
pub(crate) fn items_of_message<T>(items: &[T], bytes: impl Fn(&T) -> usize) -> usize {
    let mut sum = 0;
    let fits = |item: &&T| {
        sum += bytes(item);
        sum <= MESSAGE_BYTES
    };
    let count = items.iter().take(MESSAGE_ITEMS).take_while(fits).count();
    count.max(usize::from(!items.is_empty()))
}

/// Takes the first items of a list: all of them without moving one, in the usual case.
pub(crate) fn take_first<T>(items: &mut Vec<T>, bytes: impl Fn(&T) -> usize) -> Vec<T> {
    let count = items_of_message(items, bytes);
    let rest = items.split_off(count);
    std::mem::replace(items, rest)
}
