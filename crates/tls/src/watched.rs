//! Files that are read again when they have changed.

use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

/// What files held when they were last read, as a digest: a key is not kept a second time.
#[derive(Debug, Default)]
pub(crate) struct LastRead(Mutex<Option<[u8; 32]>>);

impl LastRead {
    /// Whether the contents are others than those that were last taken, in which case `take` is
    /// given the chance. What it refuses is offered again at the next look, because it may have
    /// been half of a change.
    pub(crate) fn if_changed<E>(&self, contents: &[&[u8]], take: impl FnOnce() -> Result<(), E>) -> Result<bool, E> {
        let mut digest = Sha256::new();
        for content in contents {
            digest.update(content.len().to_le_bytes());
            digest.update(content);
        }
        let digest: [u8; 32] = digest.finalize().into();
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *last == Some(digest) {
            return Ok(false);
        }
        take()?;
        *last = Some(digest);
        Ok(true)
    }
}
