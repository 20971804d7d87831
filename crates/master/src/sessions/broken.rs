//! The end of a session's stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use muster_core::{Input, SessionNumber};
use muster_types::ApplicationUid;
use tokio::sync::mpsc::error::TrySendError;

use crate::commit::LinkInputs;

/// Tells the commit loop on drop that a session broke. It is dropped when the client, the
/// connection or the session ends, or if the caller was gone before it learned of the session.
#[derive(Debug)]
pub(crate) struct SessionGuard {
    pub(super) application: ApplicationUid,
    pub(super) session: SessionNumber,
    pub(super) inputs: LinkInputs,
    /// Set once the session broke: the core sends nothing to an absent session, so the ring has a
    /// gap.
    pub(super) gap: Arc<AtomicBool>,
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.gap.store(true, Ordering::Release);
        let broken = Input::SessionBroken(self.application, self.session);
        if let Err(TrySendError::Full(broken)) = self.inputs.try_send(broken) {
            // This input must not be lost, because the application's grace begins with it.
            let inputs = self.inputs.clone();
            tokio::spawn(async move { inputs.send(broken).await });
        }
    }
}
