//! One agent per state directory.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::StateError;

/// Held while the agent runs. The runner has a lock of its own.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Makes the directory if it is missing, with mode 0700, and locks it.
    pub fn take(directory: &Path) -> Result<Lock, StateError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|error| StateError::Create(directory.to_owned(), error))?;
        let path = directory.join("agent.lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| StateError::Lock(path.clone(), error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Lock { _file: file }),
            Err(Errno::WOULDBLOCK) => Err(StateError::Locked(directory.to_owned())),
            Err(errno) => Err(StateError::Lock(path, errno.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_is_told_that_the_directory_is_in_use() {
        let directory = tempfile::tempdir().expect("a directory");
        let first = Lock::take(directory.path()).expect("the first");
        assert!(matches!(Lock::take(directory.path()), Err(StateError::Locked(_))));
        drop(first);
        Lock::take(directory.path()).expect("after the first is gone");
    }
}
