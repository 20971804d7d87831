//! Bounding a log by punching a hole at its head: offsets do not change, nothing is renamed, and
//! the program notices nothing.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use muster_os::file::open_regular;
use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};
use rustix::io::Errno;

/// Holes begin and end at multiples of this: the block size of all common file systems divides it.
const BLOCK: u64 = 64 << 10;

/// A log could not be bounded.
#[derive(Debug, thiserror::Error)]
#[error("cannot bound {path}")]
pub struct BoundError {
    /// The file.
    pub path: PathBuf,
    source: io::Error,
}

/// Tries, in the log directory itself, whether its file system punches holes.
pub fn can_punch(directory: &Path) -> bool {
    let path = directory.join(".punch-hole");
    let tried = || -> io::Result<()> {
        fs::write(&path, vec![1; BLOCK as usize * 2])?;
        punch(&OpenOptions::new().write(true).open(&path)?, BLOCK)
    };
    let result = tried();
    let _ = fs::remove_file(&path);
    result.is_ok()
}

/// Frees the head of a log of which more than `limit` bytes and a quarter are on disk, so that
/// `limit` bytes stay. The quarter saves holes, each of which costs the file system a little.
/// Returns the size of the file.
pub fn bound(path: &Path, limit: u64, may_punch: bool) -> Result<u64, BoundError> {
    let failed = |source| BoundError { path: path.to_owned(), source };
    let size = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(failed(error)),
    };
    if !may_punch || limit == 0 || size <= limit.saturating_add(slack(limit)) {
        return Ok(size);
    }
    let file = open_regular(path, OpenOptions::new().read(true).write(true)).map_err(failed)?;
    let kept = size - data_start(&file, 0, size).map_err(failed)?;
    let end = (size - limit) / BLOCK * BLOCK;
    if kept > limit + slack(limit) && end > 0 {
        punch(&file, end).map_err(failed)?;
    }
    Ok(size)
}

/// Bytes that may be on disk beyond the limit before the head is freed.
fn slack(limit: u64) -> u64 {
    (limit / 4).max(BLOCK)
}

fn punch(file: &File, length: u64) -> io::Result<()> {
    Ok(fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, length)?)
}

/// The first byte at or after `from` that is on disk; `size` if there is none.
pub(super) fn data_start(file: &File, from: u64, size: u64) -> io::Result<u64> {
    match seek(file, SeekFrom::Data(from)) {
        Ok(start) => Ok(start.min(size)),
        Err(Errno::NXIO) => Ok(size),
        // A file system that cannot tell has no holes.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(from),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_log_keeps_its_size_and_loses_its_head() {
        let directory = tempfile::tempdir().expect("a directory");
        if !can_punch(directory.path()) {
            // If this machine's file system cannot punch holes, the other branch is the one in use.
            assert_eq!(bound(&directory.path().join("none"), 1, false).expect("nothing to do"), 0);
            return;
        }
        let path = directory.path().join("stdout");
        let size = 20 * BLOCK;
        fs::write(&path, vec![b'x'; size as usize]).expect("written");
        assert_eq!(bound(&path, 4 * BLOCK, true).expect("bounded"), size);
        let metadata = fs::metadata(&path).expect("there");
        assert_eq!(metadata.len(), size);
        assert!(metadata.blocks() * 512 <= 5 * BLOCK, "{} blocks", metadata.blocks());
        let file = File::open(&path).expect("opened");
        assert_eq!(data_start(&file, 0, size).expect("found"), 16 * BLOCK);
    }

    /// Of a worker that is not root, a program can put something else in the place of its log.
    #[test]
    fn what_was_put_in_the_place_of_a_log_is_not_bounded() {
        let directory = tempfile::tempdir().expect("a directory");
        let (other, path) = (directory.path().join("other"), directory.path().join("stdout"));
        let content = vec![b'x'; 20 * BLOCK as usize];
        fs::write(&other, &content).expect("written");
        std::os::unix::fs::symlink(&other, &path).expect("linked");
        // Of the link alone it sees the size, which is within any bound.
        assert!(bound(&path, 1, true).expect("nothing to do") < BLOCK);
        assert_eq!(fs::read(&other).expect("readable"), content);
    }

    #[test]
    fn a_log_within_its_bound_is_left_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("stdout");
        fs::write(&path, vec![b'x'; 5 * BLOCK as usize]).expect("written");
        bound(&path, 4 * BLOCK, true).expect("nothing to do");
        bound(&path, 0, true).expect("not bounded");
        assert_eq!(fs::read(&path).expect("read"), vec![b'x'; 5 * BLOCK as usize]);
    }
}
