//! One `muster up` per directory.

use std::path::Path;

use muster_os::{LockError, LockFile};

use super::process::ProcessName;

/// Takes the lock and notes our process in it.
pub(crate) fn take(path: &Path) -> Result<LockFile, LockError> {
    let mut lock = LockFile::take(path)?;
    let me = ProcessName::of(rustix::process::getpid().as_raw_nonzero().get());
    let note = me.map(|me| me.to_string()).unwrap_or_default();
    lock.note(&note).map_err(LockError::File)?;
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_the_first_is() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("up.lock");
        let _first = take(&path).expect("free");
        let Err(LockError::Held(note)) = take(&path) else { unreachable!("it is held") };
        let holder: ProcessName = note.parse().expect("a process");
        assert_eq!(holder.pid, std::process::id() as i32);
    }
}
