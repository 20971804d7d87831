//! Where the audit is written: a file of bounded size, or the log.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use tokio::sync::mpsc;

use super::Message;

/// A file that has grown beyond this becomes the newest of the older ones.
const MAX_BYTES: u64 = 100 << 20;
/// How often the path is looked at: lines of as long may go to a file that was just taken away.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Lines that are written together: some tens of kilobytes.
const TOGETHER: usize = 128;
/// How often it is said that lines are lost.
const SAY_EVERY: Duration = Duration::from_secs(60);
/// Files beside the one that is written.
const OLDER_FILES: u32 = 4;

/// Where the audit is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditDestination {
    /// Nowhere.
    None,
    /// The program's log, with the target `audit`.
    Log,
    /// This file, and older ones beside it: `PATH.1` is the newest of them.
    File(PathBuf),
}

impl From<PathBuf> for AuditDestination {
    fn from(path: PathBuf) -> AuditDestination {
        match path.to_str() {
            Some("none") => AuditDestination::None,
            Some("log") => AuditDestination::Log,
            _ => AuditDestination::File(path),
        }
    }
}

/// Why nothing can be audited.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file cannot be opened or made.
    #[error("cannot write the audit to {0}")]
    File(PathBuf, #[source] io::Error),
    /// There is no thread to write.
    #[error("cannot write the audit")]
    Thread(#[source] io::Error),
}

/// Writes lines.
pub(super) struct AuditWriter {
    sink: Sink,
    lost: Arc<AtomicU64>,
    /// When it was last said that a line could not be written.
    said: Option<Instant>,
}

enum Sink {
    Log,
    File(RotatedFile),
}

impl AuditWriter {
    pub(super) fn open(
        destination: &AuditDestination,
        lost: Arc<AtomicU64>,
    ) -> Result<Option<AuditWriter>, AuditError> {
        let sink = match destination {
            AuditDestination::None => return Ok(None),
            AuditDestination::Log => Sink::Log,
            AuditDestination::File(path) => {
                let failed = |error| AuditError::File(path.clone(), error);
                Sink::File(RotatedFile::open(path, MAX_BYTES).map_err(failed)?)
            }
        };
        Ok(Some(AuditWriter { sink, lost, said: None }))
    }

    /// Writes until nobody sends any more. What waits is written together.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Message>) {
        let mut lines = Vec::new();
        while let Some(first) = queue.blocking_recv() {
            let mut next = Some(first);
            while let Some(message) = next {
                match message {
                    Message::Line(line) => lines.push(line),
                    Message::Flush(done) => {
                        self.write(&mut lines);
                        // Whoever asked may have gone away.
                        let _ = done.send(());
                    }
                }
                next = if lines.len() < TOGETHER { queue.try_recv().ok() } else { None };
            }
            self.write(&mut lines);
        }
    }

    fn write(&mut self, lines: &mut Vec<String>) {
        let Err(error) = self.sink.write(lines) else { return lines.clear() };
        // The first of them may be whole in the file: then more are counted than are missing.
        self.lost.fetch_add(lines.len() as u64, Ordering::Relaxed);
        lines.clear();
        if self.said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            self.said = Some(Instant::now());
            tracing::error!(error = crate::error_line(&error), "the audit cannot be written; calls go on");
        }
    }
}

impl Sink {
    fn write(&mut self, lines: &[String]) -> io::Result<()> {
        match self {
            Sink::Log => lines.iter().for_each(|line| tracing::info!(target: "audit", "{line}")),
            Sink::File(_) if lines.is_empty() => {}
            Sink::File(file) => file.write(&lines.join("\n"))?,
        }
        Ok(())
    }
}

/// A file that is replaced once it is large. Nothing of it waits in this program.
struct RotatedFile {
    path: PathBuf,
    /// `None` after it could not be written or opened: the next line tries anew.
    file: Option<File>,
    bytes: u64,
    most: u64,
    /// When the path was last seen to be that of the open file.
    looked: Instant,
}

impl RotatedFile {
    fn open(path: &Path, most: u64) -> io::Result<RotatedFile> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let mut file = RotatedFile { path: path.to_owned(), file: None, bytes: 0, most, looked: Instant::now() };
        file.reopen()?;
        Ok(file)
    }

    fn reopen(&mut self) -> io::Result<&mut File> {
        // A pipe would hold up the start, and then every call, until somebody reads it.
        let mut options = OpenOptions::new();
        options.append(true).read(true).create(true).mode(0o600);
        let mut opened = options.custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(&self.path)?;
        let meta = opened.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        self.bytes = meta.size();
        self.looked = Instant::now();
        // The disk may have been full in the midst of a line.
        if let Some(last) = self.bytes.checked_sub(1) {
            let mut byte = [0];
            if opened.read_at(&mut byte, last)? == 1 && byte != *b"\n" {
                opened.write_all(b"\n")?;
            }
        }
        Ok(self.file.insert(opened))
    }

    /// Writes one line, or some with a line break between two.
    fn write(&mut self, lines: &str) -> io::Result<()> {
        let is_full = self.bytes >= self.most;
        if (is_full || self.looked.elapsed() >= LOOK_EVERY) && !self.is_in_place() {
            self.file = None;
            self.reopen()?;
        }
        if self.bytes >= self.most {
            self.file = None;
            self.rotate()?;
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => self.reopen()?,
        };
        let written = file.write_all(format!("{lines}\n").as_bytes());
        match &written {
            Ok(()) => self.bytes = self.bytes.saturating_add(lines.len() as u64 + 1),
            // It may have been written in part, which the next opening sees.
            Err(_) => self.file = None,
        }
        written
    }

    /// Whether the path still leads to the open file: another program may rotate it, or take it
    /// away.
    fn is_in_place(&mut self) -> bool {
        self.looked = Instant::now();
        let Some(file) = &self.file else { return false };
        let (Ok(there), Ok(open)) = (std::fs::metadata(&self.path), file.metadata()) else { return false };
        (there.dev(), there.ino()) == (open.dev(), open.ino())
    }

    /// The oldest is replaced by the one after it, and so on.
    fn rotate(&self) -> io::Result<()> {
        let older = |number: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        for number in (1..OLDER_FILES).rev() {
            match std::fs::rename(older(number), older(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        std::fs::rename(&self.path, older(1))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn files_are_bounded_and_the_oldest_goes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.log");
        let mut file = RotatedFile::open(&path, 100).unwrap();
        for number in 0..70 {
            file.write(&format!("line {number:05}")).unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
        let lines = |name: &str| read(name).lines().map(|line| line[5..].parse().unwrap()).collect::<Vec<u32>>();
        // A line has 11 bytes, so the tenth makes a file too large.
        assert_eq!(lines("audit.log.1"), (50..60).collect::<Vec<_>>());
        assert_eq!(lines("audit.log.4"), (20..30).collect::<Vec<_>>());
        assert_eq!(lines("audit.log"), (60..70).collect::<Vec<_>>());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 5);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_goes_on_where_an_earlier_run_ended() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.log");
        for _ in 0..2 {
            let mut file = RotatedFile::open(&path, 100).unwrap();
            file.write("a line").unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a line\na line\n");
    }

    #[test]
    fn lines_are_written_again_once_there_is_a_place_for_them() {
        let directory = tempfile::tempdir().unwrap();
        let (path, lost) = (directory.path().join("d/audit.log"), Arc::<AtomicU64>::default());
        let beyond = AuditDestination::File(PathBuf::from("/dev/null/audit.log"));
        assert!(AuditWriter::open(&beyond, lost.clone()).is_err(), "an error at the start");
        let mut writer = AuditWriter::open(&AuditDestination::File(path.clone()), lost.clone()).unwrap().unwrap();
        let Sink::File(file) = &mut writer.sink else { panic!() };
        (file.file, file.path) = (None, directory.path().join("none/audit.log"));
        writer.write(&mut vec!["lost".to_owned(), "too".to_owned()]);
        assert_eq!(lost.load(Ordering::Relaxed), 2);
        let Sink::File(file) = &mut writer.sink else { panic!() };
        file.path.clone_from(&path);
        writer.write(&mut vec!["kept".to_owned(), "too".to_owned()]);
        assert_eq!(lost.load(Ordering::Relaxed), 2);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "kept\ntoo\n");
    }

    #[test]
    fn a_file_that_another_program_takes_away_is_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let (path, older) = (directory.path().join("audit.log"), directory.path().join("audit.log.old"));
        let mut file = RotatedFile::open(&path, 1000).unwrap();
        file.write("first").unwrap();
        std::fs::rename(&path, &older).unwrap();
        file.looked = file.looked.checked_sub(LOOK_EVERY).unwrap();
        file.write("second").unwrap();
        assert_eq!(std::fs::read_to_string(&older).unwrap(), "first\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "second\n");
    }

    #[test]
    fn a_full_file_that_is_gone_holds_nothing_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.log");
        let mut file = RotatedFile::open(&path, 5).unwrap();
        file.write("first").unwrap();
        std::fs::remove_file(&path).unwrap();
        file.write("second").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "second\n");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_torn_line_does_not_take_the_next_one_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.log");
        std::fs::write(&path, "whole\n{\"torn").unwrap();
        RotatedFile::open(&path, 1000).unwrap().write("next").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "whole\n{\"torn\nnext\n");
    }

    #[test]
    fn a_pipe_is_refused_and_does_not_hold_up_the_start() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.log");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(RotatedFile::open(&path, 1000).is_err());
    }
}
