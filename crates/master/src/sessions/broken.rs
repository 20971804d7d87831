//! The end of a session's stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use muster_core::{Input, SessionNumber};
use muster_types::ApplicationUid;
use tokio::sync::mpsc::error::TrySendError;

use crate::commit::LinkInputs;

/// Tells the commit loop that a session broke, when it is dropped: by the client, by the
/// connection, by its end, or because the caller was gone before it was told of the session at all.
#[derive(Debug)]
pub(crate) struct SessionGuard {
    pub(super) application: ApplicationUid,
    pub(super) session: SessionNumber,
    pub(super) inputs: LinkInputs,
    /// Set once it broke: the core tells a session that is away nothing, so what the ring holds has
    /// a gap.
    pub(super) gap: Arc<AtomicBool>,
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.gap.store(true, Ordering::Release);
        let broken = Input::SessionBroken(self.application, self.session);
        if let Err(TrySendError::Full(broken)) = self.inputs.try_send(broken) {
            // It must not be lost: the application's grace begins with it.
            let inputs = self.inputs.clone();
            tokio::spawn(async move { inputs.send(broken).await });
        }
    }
}
