//! The mark: beside the database, the number of the newest transaction and epoch that were
//! acknowledged.
//!
//! A log with a damaged end looks like one whose last transaction was torn by a crash, and every
//! database silently drops such an end. The mark tells them apart: it is raised once a transaction
//! is durable and before it is acknowledged, and a store with fewer transactions than its mark is
//! refused. It is written but not synced, so it outlives the process at almost no cost; after a
//! loss of power it may be older than the database, and then it detects less.
//!
//! It is written over itself, which takes no space on most file systems. So it also holds, durably,
//! the epoch of a term that begins on a full disk, where the database can take nothing.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

/// The newest acknowledged numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Acknowledged {
    /// Number of the newest transaction.
    pub(super) commit: u64,
    /// Revision of the newest epoch.
    pub(super) revision: u64,
}

#[derive(Debug)]
pub(super) struct AcknowledgedFile(File);

impl AcknowledgedFile {
    /// Opens the file and returns its content; zeros if it is new. A damaged file is `InvalidData`.
    pub(super) fn open(path: &Path) -> io::Result<(AcknowledgedFile, Acknowledged)> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let length = file.metadata()?.len();
        let mut bytes = [0; 20];
        if length == 0 {
            return Ok((AcknowledgedFile(file), Acknowledged::default()));
        }
        if length != 20 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "of a wrong length"));
        }
        file.read_exact_at(&mut bytes, 0)?;
        let acknowledged = decode(&bytes).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "damaged"))?;
        Ok((AcknowledgedFile(file), acknowledged))
    }

    /// Writes new numbers.
    pub(super) fn raise(&self, acknowledged: Acknowledged) -> io::Result<()> {
        self.0.write_all_at(&encode(acknowledged), 0)
    }

    /// Makes the numbers durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

fn encode(acknowledged: Acknowledged) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes[..8].copy_from_slice(&acknowledged.commit.to_be_bytes());
    bytes[8..16].copy_from_slice(&acknowledged.revision.to_be_bytes());
    let sum = crc32fast::hash(&bytes[..16]);
    bytes[16..].copy_from_slice(&sum.to_be_bytes());
    bytes
}

fn decode(bytes: &[u8; 20]) -> Option<Acknowledged> {
    let (commit, rest) = bytes.split_first_chunk()?;
    let (revision, rest) = rest.split_first_chunk()?;
    let acknowledged = Acknowledged { commit: u64::from_be_bytes(*commit), revision: u64::from_be_bytes(*revision) };
    (rest == &encode(acknowledged)[16..]).then_some(acknowledged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_remembers_what_was_acknowledged() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mark");
        let (mark, before) = AcknowledgedFile::open(&path).unwrap();
        assert_eq!(before, Acknowledged::default());
        mark.raise(Acknowledged { commit: 7, revision: 3 }).unwrap();
        assert_eq!(AcknowledgedFile::open(&path).unwrap().1, Acknowledged { commit: 7, revision: 3 });
    }

    #[test]
    fn a_damaged_one_promises_nothing_and_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mark");
        AcknowledgedFile::open(&path).unwrap().0.raise(Acknowledged { commit: 7, revision: 3 }).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[7] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(AcknowledgedFile::open(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
        std::fs::write(&path, &bytes[..10]).unwrap();
        assert_eq!(AcknowledgedFile::open(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
