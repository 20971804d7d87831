//! The proof that a container's first process is alive.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use muster_agent::pid_namespace::{PROCESS_ONE_LOCK_NAME, PidNamespace};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::StateError;

/// Held by process 1 until it ends: the kernel then ends everything in its PID namespace, so a
/// later runner that finds it free knows that nothing is left of what ran there.
#[derive(Debug)]
pub struct ProcessOneLock {
    _file: File,
}

impl ProcessOneLock {
    /// Makes the directory if it is missing, and takes the lock; `None` while another process 1 has
    /// it: that of a container which this one replaces.
    pub fn take(directory: &Path) -> Result<Option<ProcessOneLock>, StateError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|error| StateError::Create(directory.to_owned(), error))?;
        let path = directory.join(PROCESS_ONE_LOCK_NAME);
        let lock_failed = |error| StateError::Lock(path.clone(), error);
        let open = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let mut file = open.map_err(lock_failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(lock_failed(errno.into())),
        }
        // Without /proc there is nothing to be said, and so nothing that will be proven.
        let text = present_namespace().map(|namespace| namespace.to_string()).unwrap_or_default();
        let write = |file: &mut File| file.set_len(0).and_then(|()| file.write_all(text.as_bytes()));
        write(&mut file).map_err(|error| StateError::Write(path.clone(), error))?;
        Ok(Some(ProcessOneLock { _file: file }))
    }
}

fn present_namespace() -> Option<PidNamespace> {
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let inode = fs::metadata("/proc/self/ns/pid").ok()?.ino();
    PidNamespace::of(&boot_id, inode, &fs::read_to_string("/proc/1/stat").ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_held_by_one_and_says_where() {
        let directory = tempfile::tempdir().expect("a directory");
        let first = ProcessOneLock::take(directory.path()).expect("usable").expect("free");
        assert!(ProcessOneLock::take(directory.path()).expect("usable").is_none());
        let text = fs::read_to_string(directory.path().join(PROCESS_ONE_LOCK_NAME)).expect("readable");
        assert_eq!(text.parse().ok(), present_namespace());
        drop(first);
        assert!(ProcessOneLock::take(directory.path()).expect("usable").is_some());
    }
}
