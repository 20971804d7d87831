//! Where the audit is written: a file of bounded size, or the log.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::Message;

/// A file that has grown beyond this becomes the newest of the older ones.
const MAX_BYTES: u64 = 100 << 20;
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
    /// Whether the last line could not be written, which was said.
    is_failing: bool,
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
        Ok(Some(AuditWriter { sink, lost, is_failing: false }))
    }

    /// Writes until nobody sends any more.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Message>) {
        while let Some(message) = queue.blocking_recv() {
            match message {
                Message::Line(line) => self.write(&line, queue.is_empty()),
                Message::Flush(done) => {
                    // What cannot be written was said when it was tried.
                    let _ = self.sink.flush();
                    let _ = done.send(());
                }
            }
        }
    }

    fn write(&mut self, line: &str, is_last: bool) {
        let written = self.sink.write(line).and_then(|()| if is_last { self.sink.flush() } else { Ok(()) });
        match written {
            Ok(()) => self.is_failing = false,
            Err(error) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::error!(error = crate::error_line(&error), "the audit cannot be written; calls go on");
                }
            }
        }
    }
}

impl Sink {
    fn write(&mut self, line: &str) -> io::Result<()> {
        match self {
            Sink::Log => {
                tracing::info!(target: "audit", "{line}");
                Ok(())
            }
            Sink::File(file) => file.write(line),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Sink::Log => Ok(()),
            Sink::File(file) => file.flush(),
        }
    }
}

/// A file that is replaced once it is large.
struct RotatedFile {
    path: PathBuf,
    /// `None` after it could not be written or opened: the next line tries anew.
    file: Option<BufWriter<File>>,
    bytes: u64,
    most: u64,
}

impl RotatedFile {
    fn open(path: &Path, most: u64) -> io::Result<RotatedFile> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let mut file = RotatedFile { path: path.to_owned(), file: None, bytes: 0, most };
        file.reopen()?;
        Ok(file)
    }

    fn reopen(&mut self) -> io::Result<&mut BufWriter<File>> {
        let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
        self.bytes = opened.metadata()?.size();
        Ok(self.file.insert(BufWriter::new(opened)))
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        if self.bytes >= self.most {
            self.flush()?;
            self.file = None;
            self.rotate()?;
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => self.reopen()?,
        };
        let written = file.write_all(line.as_bytes()).and_then(|()| file.write_all(b"\n"));
        self.bytes = self.bytes.saturating_add(line.len() as u64 + 1);
        self.forget_if_failed(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.file.as_mut().map_or(Ok(()), io::Write::flush);
        self.forget_if_failed(flushed)
    }

    /// What a writer could not write would be tried again with each later line, and grow.
    fn forget_if_failed(&mut self, result: io::Result<()>) -> io::Result<()> {
        if result.is_err()
            && let Some(file) = self.file.take()
        {
            drop(file.into_parts());
        }
        result
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
        file.flush().unwrap();
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
            file.flush().unwrap();
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
        writer.write("lost", true);
        assert_eq!((lost.load(Ordering::Relaxed), writer.is_failing), (1, true));
        let Sink::File(file) = &mut writer.sink else { panic!() };
        file.path.clone_from(&path);
        writer.write("kept", true);
        assert_eq!((lost.load(Ordering::Relaxed), writer.is_failing), (1, false));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "kept\n");
    }
}
