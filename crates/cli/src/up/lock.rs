//! One `muster up` per directory.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::process::ProcessName;

/// The directory is ours while this lives.
#[derive(Debug)]
pub(crate) struct DirLock {
    _file: File,
}

/// Why a directory could not be taken.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Somebody has it: who, if the file says so.
    Held(Option<ProcessName>),
    /// The file cannot be made, locked or written.
    File(io::Error),
}

impl DirLock {
    /// Takes the lock and writes our process into it.
    pub(crate) fn take(path: &Path) -> Result<DirLock, LockError> {
        let mut file =
            File::options().create(true).truncate(false).read(true).write(true).open(path).map_err(LockError::File)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(LockError::Held(ProcessName::read(path))),
            Err(error) => return Err(LockError::File(error.into())),
        }
        write_holder(&mut file).map_err(LockError::File)?;
        Ok(DirLock { _file: file })
    }
}

fn write_holder(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    if let Some(me) = ProcessName::of(rustix::process::getpid().as_raw_nonzero().get()) {
        writeln!(file, "{me}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_the_first_is() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("up.lock");
        let first = DirLock::take(&path).expect("free");
        let Err(LockError::Held(Some(holder))) = DirLock::take(&path) else { unreachable!("it is held") };
        assert_eq!(holder.pid, std::process::id() as i32);
        drop(first);
        DirLock::take(&path).expect("free again");
    }
}
