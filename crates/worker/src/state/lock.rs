//! One agent per state directory.

use std::path::Path;

use muster_agent::runner_protocol::AGENT_LOCK_NAME;
use muster_os::{LockError, LockFile};

use super::StateError;

/// Makes the directory if it is missing, closes it to others, and locks it for as long as the agent
/// runs. The runner has a lock of its own.
pub fn lock(directory: &Path) -> Result<LockFile, StateError> {
    super::make(directory)?;
    let path = directory.join(AGENT_LOCK_NAME);
    LockFile::take(&path).map_err(|error| match error {
        LockError::Held(_) => StateError::Locked(directory.to_owned()),
        LockError::File(error) => StateError::Lock(path, error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_is_told_that_the_directory_is_in_use() {
        let directory = tempfile::tempdir().expect("a directory");
        let first = lock(directory.path()).expect("the first");
        assert!(matches!(lock(directory.path()), Err(StateError::Locked(_))));
        drop(first);
        lock(directory.path()).expect("after the first is gone");
    }
}
