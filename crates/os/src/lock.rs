//! A file that one process at a time holds locked.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// A lock that is held until the value is dropped. However the holder ends, the kernel releases the
/// lock once no process that inherited the descriptor has it open.
#[derive(Debug)]
pub struct LockFile(File);

/// Why a lock was not taken.
#[derive(Debug)]
pub enum LockError {
    /// Another process holds the lock; the text that it noted in the file.
    Held(String),
    /// The file cannot be made or locked.
    File(io::Error),
}

impl LockFile {
    /// Creates the file with mode 0600 if it is missing, and locks it without waiting.
    pub fn take(path: &Path) -> Result<LockFile, LockError> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(path).map_err(LockError::File)?;
        match file.try_lock() {
            Ok(()) => Ok(LockFile(file)),
            Err(TryLockError::WouldBlock) => {
                let mut note = String::new();
                // A note that cannot be read counts as empty.
                let _ = file.read_to_string(&mut note);
                Err(LockError::Held(note))
            }
            Err(TryLockError::Error(error)) => Err(LockError::File(error)),
        }
    }

    /// Writes the holder's name into the file, for processes that find it locked.
    pub fn note(&mut self, holder: &str) -> io::Result<()> {
        self.0.set_len(0)?;
        self.0.rewind()?;
        writeln!(self.0, "{holder}")
    }

    /// The open file that carries the lock.
    pub fn file(&self) -> &File {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_second_is_told_what_the_first_noted() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("lock");
        let mut first = LockFile::take(&path).expect("free");
        first.note("a longer name").expect("noted");
        first.note("me").expect("noted again");
        let Err(LockError::Held(note)) = LockFile::take(&path) else { unreachable!("it is held") };
        assert_eq!(note, "me\n");
        assert_eq!(path.metadata().expect("there").permissions().mode() & 0o777, 0o600);
        drop(first);
        LockFile::take(&path).expect("free again");
    }
}
