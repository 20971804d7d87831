//! The journal's file. Records are gathered in memory and written together; whatever depends on
//! them waits for [`Journal::write`].
//!
//! The file is preallocated, so a full disk usually does not stop a record. Where it does, the same
//! records are tried again later, and what depends on them waits. When the file is full, everything
//! that is still known is written to a new one, which takes its place.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use muster_agent::journal::{
    HEADER_LENGTH, JournalState, Record, append_header, append_record, read_header, read_records,
};
use muster_types::Incarnation;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// The least size of a file: a few seconds of the highest rate of spawns. A file has at least twice
/// the size of what is known, so that rewriting costs little per record.
const MIN_CAPACITY: usize = 4 * 1024 * 1024;

/// The room for more records on a disk that is nearly full.
const SCANT_ROOM: usize = 64 * 1024;

/// Most bytes that wait while nothing can be written; beyond that the agent is no longer read.
const MAX_WAITING: usize = 4 * 1024 * 1024;

/// The largest journal that is read. None is written that comes near it.
const MAX_READ: u64 = 1 << 30;

/// The file, and the records that wait to be written.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    incarnation: Incarnation,
    file: File,
    written: usize,
    capacity: usize,
    waiting: Vec<u8>,
}

/// What the journal at a path adds up to; nothing if there is none.
pub(crate) fn read(path: &Path) -> io::Result<(Option<Incarnation>, JournalState)> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((None, JournalState::default())),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, MAX_READ), &mut bytes)?;
    let Some(incarnation) = read_header(&bytes) else { return Ok((None, JournalState::default())) };
    Ok((Some(incarnation), JournalState::of(read_records(&bytes[HEADER_LENGTH..]))))
}

impl Journal {
    /// Begins a journal that holds `known`, in place of the present one.
    pub(crate) fn create(path: PathBuf, incarnation: Incarnation, known: &[Record]) -> io::Result<Journal> {
        let (file, written, capacity) = begin(&path, incarnation, known)?;
        Ok(Journal { path, incarnation, file, written, capacity, waiting: Vec::new() })
    }

    /// Adds a record to those that wait.
    pub(crate) fn append(&mut self, record: &Record) {
        append_record(record, &mut self.waiting);
    }

    /// Whether so many records wait that no more should be taken on.
    pub(crate) fn is_backlogged(&self) -> bool {
        self.waiting.len() >= MAX_WAITING
    }

    /// Writes the waiting records. `known` returns records of everything that is known, including
    /// what waits; it is called when the file is full.
    pub(crate) fn write(&mut self, known: impl FnOnce() -> Vec<Record>) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        if self.written + self.waiting.len() > self.capacity {
            (self.file, self.written, self.capacity) = begin(&self.path, self.incarnation, &known())?;
        } else {
            self.file.write_all_at(&self.waiting, self.written as u64)?;
            self.written += self.waiting.len();
        }
        self.waiting.clear();
        Ok(())
    }
}

/// Writes a new journal beside the old one and moves it into the old one's place. If the disk is
/// nearly full, it has little room for more records.
fn begin(path: &Path, incarnation: Incarnation, known: &[Record]) -> io::Result<(File, usize, usize)> {
    let mut bytes = Vec::new();
    append_header(incarnation, &mut bytes);
    known.iter().for_each(|record| append_record(record, &mut bytes));
    let beside = path.with_extension("new");
    let ample = MIN_CAPACITY.max(bytes.len() * 2);
    let begun = begin_with(&beside, &bytes, ample).or_else(|_| begin_with(&beside, &bytes, bytes.len() + SCANT_ROOM));
    match begun {
        Ok((file, capacity)) => {
            std::fs::rename(&beside, path)?;
            Ok((file, bytes.len(), capacity))
        }
        Err(error) => {
            // Its bytes may be all the room that there is.
            let _ = std::fs::remove_file(&beside);
            Err(error)
        }
    }
}

fn begin_with(path: &Path, bytes: &[u8], capacity: usize) -> io::Result<(File, usize)> {
    let file = File::options().write(true).create(true).truncate(true).open(path)?;
    match fallocate(&file, FallocateFlags::empty(), 0, capacity as u64) {
        // Without preallocation a full disk only shows later.
        Ok(()) | Err(Errno::OPNOTSUPP) => {}
        Err(error) => return Err(error.into()),
    }
    file.write_all_at(bytes, 0)?;
    Ok((file, capacity))
}

#[cfg(test)]
mod tests {
    use muster_types::{AttemptKey, AttemptNumber, DriverUid, WallTime};

    use super::*;

    const INCARNATION: Incarnation = Incarnation { counter: 1, random: 2 };

    fn started(number: u32) -> Record {
        let attempt = AttemptKey::Driver(DriverUid(1), AttemptNumber(number));
        Record::Started { attempt, pid: number, started: WallTime(0) }
    }

    fn read_back(path: &Path) -> Vec<Record> {
        read_records(&std::fs::read(path).unwrap()[HEADER_LENGTH..])
    }

    #[test]
    fn what_was_written_is_read_in_order_and_the_rest_is_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let mut journal = Journal::create(path.clone(), INCARNATION, &[started(1)]).unwrap();
        journal.append(&started(2));
        journal.append(&started(3));
        assert_eq!(read_back(&path), [started(1)], "nothing before write");
        journal.write(|| unreachable!("there is room")).unwrap();
        assert_eq!(read_back(&path), [started(1), started(2), started(3)]);
        assert_eq!(read(&path).unwrap().0, Some(INCARNATION));
    }

    #[test]
    fn a_full_file_is_replaced_by_what_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let mut journal = Journal::create(path.clone(), INCARNATION, &[]).unwrap();
        let mut rewritten = 0;
        for _ in 0..10 {
            for number in 0..20_000 {
                journal.append(&started(number));
            }
            journal
                .write(|| {
                    rewritten += 1;
                    vec![started(7)]
                })
                .unwrap();
            assert!(std::fs::metadata(&path).unwrap().len() <= MIN_CAPACITY as u64);
        }
        assert!(rewritten > 0);
        assert_eq!(read_back(&path)[0], started(7));
    }

    #[test]
    fn no_journal_and_a_foreign_file_say_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        assert_eq!(read(&path).unwrap(), (None, JournalState::default()));
        std::fs::write(&path, b"something else").unwrap();
        assert_eq!(read(&path).unwrap(), (None, JournalState::default()));
    }
}
