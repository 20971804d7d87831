//! Reading a log that grows at its end, loses its head, and may be truncated by its program.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use muster_os::file::open_regular;

use super::Truncations;
use super::bound::data_start;

/// Most bytes of one piece.
const PIECE: u64 = 64 << 10;

/// A position: how often the program had truncated its output, and the byte since the start of the
/// file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Truncations.
    pub truncations: u64,
    /// Byte.
    pub byte: u64,
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadStart {
    /// At this position.
    At(Position),
    /// This many bytes before the end.
    Tail(u64),
}

/// A piece of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPiece {
    /// Position of its first byte.
    pub position: Position,
    /// The bytes; empty when there is nothing new.
    pub data: Vec<u8>,
    /// Bytes before it that are gone.
    pub skipped: u64,
}

/// A log cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}")]
pub struct LogReadError {
    /// The file.
    pub path: PathBuf,
    source: io::Error,
}

/// Reads one log. Blocks on the disk.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    truncations: Arc<Truncations>,
    start: Option<ReadStart>,
    position: Position,
    file: Option<File>,
}

impl LogReader {
    /// A reader of the file at `path`, which need not exist yet.
    pub fn new(path: PathBuf, truncations: Arc<Truncations>, start: ReadStart) -> LogReader {
        LogReader { path, truncations, start: Some(start), position: Position::default(), file: None }
    }

    /// The next piece; an empty one at the end of what there is.
    pub fn read_next(&mut self) -> Result<LogPiece, LogReadError> {
        self.read().map_err(|source| LogReadError { path: self.path.clone(), source })
    }

    fn read(&mut self) -> io::Result<LogPiece> {
        let Some(file) = self.open()? else { return Ok(self.nothing()) };
        let size = file.metadata()?.len();
        let count = self.truncations.observe(&self.path, size);
        self.find_start(size, count);
        let asked = self.position;
        loop {
            let from = data_start(&file, self.position.byte, size)?;
            let length = usize::try_from((size - from).min(PIECE)).unwrap_or_default();
            let mut data = vec![0; length];
            let read = file.read_at(&mut data, from)?;
            data.truncate(read);
            // The head may have been freed during the read, which then returned zeros.
            if data_start(&file, from, size)? == from || data.is_empty() {
                self.position.byte = from + data.len() as u64;
                let position = Position { byte: from, ..asked };
                return Ok(LogPiece { position, data, skipped: from - asked.byte });
            }
        }
    }

    fn open(&mut self) -> io::Result<Option<File>> {
        if self.file.is_none() {
            match open_regular(&self.path, OpenOptions::new().read(true)) {
                Ok(file) => self.file = Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        self.file.as_ref().map(File::try_clone).transpose()
    }

    /// Decides where to begin, and begins anew in a file that was truncated meanwhile.
    fn find_start(&mut self, size: u64, count: u64) {
        match self.start.take() {
            Some(ReadStart::Tail(bytes)) => {
                self.position = Position { truncations: count, byte: size.saturating_sub(bytes) };
            }
            Some(ReadStart::At(position)) => self.position = position,
            None => {}
        }
        if self.position.truncations != count {
            self.position = Position { truncations: count, byte: 0 };
        }
        self.position.byte = self.position.byte.min(size);
    }

    fn nothing(&self) -> LogPiece {
        LogPiece { position: self.position, data: Vec::new(), skipped: 0 }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write;

    use super::*;

    fn setting() -> (tempfile::TempDir, PathBuf, Arc<Truncations>) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("stdout");
        (directory, path, Arc::default())
    }

    fn at(truncations: u64, byte: u64) -> Position {
        Position { truncations, byte }
    }

    /// The directory is the program's as much as ours.
    #[test]
    fn what_a_program_puts_in_the_place_of_its_log_is_not_read() {
        let (directory, path, truncations) = setting();
        let other = directory.path().join("other");
        fs::write(&other, "other").expect("written");
        std::os::unix::fs::symlink(&other, &path).expect("made");
        let read = || LogReader::new(path.clone(), truncations.clone(), ReadStart::At(at(0, 0))).read_next();
        read().expect_err("a link");
        fs::remove_file(&path).expect("removed");
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &path, fifo, 0o600.into(), 0).expect("made");
        read().expect_err("a pipe, which nobody writes to");
    }

    #[test]
    fn a_log_that_does_not_exist_yet_is_empty_and_then_grows() {
        let (_directory, path, truncations) = setting();
        let mut reader = LogReader::new(path.clone(), truncations, ReadStart::At(at(0, 0)));
        assert_eq!(reader.read_next().expect("nothing").data, b"");
        fs::write(&path, "one").expect("written");
        assert_eq!(
            reader.read_next().expect("a piece"),
            LogPiece { position: at(0, 0), data: b"one".into(), skipped: 0 }
        );
        OpenOptions::new().append(true).open(&path).expect("opened").write_all(b"two").expect("written");
        assert_eq!(
            reader.read_next().expect("a piece"),
            LogPiece { position: at(0, 3), data: b"two".into(), skipped: 0 }
        );
        assert_eq!(reader.read_next().expect("nothing"), LogPiece { position: at(0, 6), data: vec![], skipped: 0 });
    }

    #[test]
    fn the_tail_and_an_offset_begin_where_they_say() {
        let (_directory, path, truncations) = setting();
        fs::write(&path, "0123456789").expect("written");
        let read = |start| LogReader::new(path.clone(), truncations.clone(), start).read_next().expect("a piece");
        assert_eq!(read(ReadStart::Tail(3)), LogPiece { position: at(0, 7), data: b"789".into(), skipped: 0 });
        assert_eq!(read(ReadStart::Tail(99)).data, b"0123456789");
        assert_eq!(read(ReadStart::At(at(0, 4))).data, b"456789");
        assert_eq!(read(ReadStart::At(at(0, 99))), LogPiece { position: at(0, 10), data: vec![], skipped: 0 });
    }

    #[test]
    fn pieces_are_bounded() {
        let (_directory, path, truncations) = setting();
        fs::write(&path, vec![b'x'; 100_000]).expect("written");
        let mut reader = LogReader::new(path, truncations, ReadStart::At(at(0, 0)));
        assert_eq!(reader.read_next().expect("a piece").data.len(), 65_536);
        assert_eq!(reader.read_next().expect("a piece").data.len(), 100_000 - 65_536);
    }

    #[test]
    fn what_is_gone_is_skipped_and_told() {
        let (directory, path, truncations) = setting();
        if !super::super::can_punch(directory.path()) {
            return;
        }
        fs::write(&path, vec![b'x'; 1 << 20]).expect("written");
        super::super::bound(&path, 256 << 10, true).expect("bounded");
        let mut reader = LogReader::new(path, truncations, ReadStart::At(at(0, 1_000)));
        let piece = reader.read_next().expect("a piece");
        assert_eq!((piece.position, piece.skipped), (at(0, 768 << 10), (768 << 10) - 1_000));
        assert!(piece.data.iter().all(|byte| *byte == b'x'));
    }

    #[test]
    fn a_truncated_log_begins_anew_and_an_older_offset_is_known_as_one() {
        let (_directory, path, truncations) = setting();
        fs::write(&path, "a long first text").expect("written");
        let mut reader = LogReader::new(path.clone(), truncations.clone(), ReadStart::At(at(0, 0)));
        reader.read_next().expect("a piece");
        fs::write(&path, "short").expect("truncated");
        assert_eq!(
            reader.read_next().expect("a piece"),
            LogPiece { position: at(1, 0), data: b"short".into(), skipped: 0 }
        );
        let after_restart: Arc<Truncations> = Arc::default();
        let mut reader = LogReader::new(path, after_restart, ReadStart::At(at(0, 17)));
        assert_eq!(reader.read_next().expect("a piece").position, at(1, 0));
    }
}
