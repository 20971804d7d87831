//! The line of a stream that is judged after it has begun: a worker's link, by its hello.

use std::borrow::Cow;

use tokio::sync::oneshot;

/// What became of it: the verdict of a refusal, and its reason; `None` if it was taken.
pub(super) type Judged = Option<(&'static str, Cow<'static, str>)>;

/// Says what becomes of a stream, once. Where it is dropped before, that stays unknown.
#[derive(Debug)]
pub(crate) struct LateVerdict(oneshot::Sender<Judged>);

impl LateVerdict {
    pub(super) fn new() -> (LateVerdict, oneshot::Receiver<Judged>) {
        let (sender, receiver) = oneshot::channel();
        (LateVerdict(sender), receiver)
    }

    /// It is taken.
    pub(crate) fn taken(self) {
        // Nobody hears it where nothing is audited.
        let _ = self.0.send(None);
    }

    /// Its caller may not do this.
    pub(crate) fn denied(self, reason: &'static str) {
        let _ = self.0.send(Some(("denied", reason.into())));
    }

    /// Nothing was done.
    pub(crate) fn failed(self, reason: impl Into<Cow<'static, str>>) {
        let _ = self.0.send(Some(("failed", reason.into())));
    }
}
