//! The proof that a container's first process is alive.

use std::path::Path;

use muster_agent::runner_protocol::PROCESS_ONE_LOCK_NAME;
use muster_os::{LockError, LockFile, PidNamespace};

use super::StateError;

/// A lock that process 1 holds until it ends. The kernel then ends everything in its PID namespace,
/// so a later runner that finds the lock free knows that nothing is left of what ran there.
#[derive(Debug)]
pub struct ProcessOneLock {
    _file: LockFile,
}

impl ProcessOneLock {
    /// Makes the directory if it is missing, and takes the lock; `None` while another process 1 has
    /// it, that of a container which this one replaces.
    pub fn take(directory: &Path) -> Result<Option<ProcessOneLock>, StateError> {
        super::make(directory)?;
        let path = directory.join(PROCESS_ONE_LOCK_NAME);
        let mut file = match LockFile::take(&path) {
            Ok(file) => file,
            Err(LockError::Held(_)) => return Ok(None),
            Err(LockError::File(error)) => return Err(StateError::Lock(path, error)),
        };
        // Without /proc the namespace is unknown, and nothing can be proven later.
        let namespace = PidNamespace::present().map(|namespace| namespace.to_string()).unwrap_or_default();
        file.note(&namespace).map_err(|error| StateError::Write(path, error))?;
        Ok(Some(ProcessOneLock { _file: file }))
    }

    /// Whether a process 1 has the lock. It leaves the file as it is: what is noted there is a part
    /// of the proof.
    pub fn is_held(directory: &Path) -> Result<bool, StateError> {
        let path = directory.join(PROCESS_ONE_LOCK_NAME);
        if !path.exists() {
            return Ok(false);
        }
        match LockFile::take(&path) {
            Ok(_) => Ok(false),
            Err(LockError::Held(_)) => Ok(true),
            Err(LockError::File(error)) => Err(StateError::Lock(path, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn it_is_held_by_one_and_says_where() {
        let directory = tempfile::tempdir().expect("a directory");
        let first = ProcessOneLock::take(directory.path()).expect("usable").expect("free");
        assert!(ProcessOneLock::take(directory.path()).expect("usable").is_none());
        let text = fs::read_to_string(directory.path().join(PROCESS_ONE_LOCK_NAME)).expect("readable");
        assert_eq!(text.parse().ok(), PidNamespace::present());
        assert!(ProcessOneLock::is_held(directory.path()).expect("usable"));
        drop(first);
        assert!(!ProcessOneLock::is_held(directory.path()).expect("usable"));
        assert_eq!(fs::read_to_string(directory.path().join(PROCESS_ONE_LOCK_NAME)).expect("readable"), text);
        assert!(ProcessOneLock::take(directory.path()).expect("usable").is_some());
    }
}
