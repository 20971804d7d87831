//! The files that the parts write to, bounded.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// A file is put aside when it is larger; with the one before it, a part keeps at most about twice
/// this.
const BOUND: u64 = 16 << 20;

/// Opens a part's log. Writers append, so that the file can be emptied while they hold it.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}

/// Puts a log that is too large aside, as `NAME.log.1`. Its writers go on in the same file, which
/// is emptied; a line that is written between the copy and the emptying is lost.
pub(crate) fn bound(path: &Path) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    if file.metadata()?.len() > BOUND {
        std::fs::copy(path, path.with_extension("log.1"))?;
        file.set_len(0)?;
    }
    Ok(())
}

/// Size of a log now; 0 when there is none.
pub(crate) fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// The last lines that were written after a position.
pub(crate) fn last_lines(path: &Path, from: u64, lines: usize) -> String {
    /// The most bytes that are read.
    const MOST: u64 = 16 << 10;
    let read = || -> io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        // A file that is shorter than `from` was emptied since.
        let from = if from > length { 0 } else { from };
        file.seek(SeekFrom::Start(from.max(length.saturating_sub(MOST))))?;
        let mut bytes = Vec::new();
        file.take(MOST).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    // A file that cannot be read counts as empty.
    let text = read().unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_large_log_is_put_aside_and_its_writer_goes_on() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("master.log");
        let mut writer = open(&path).expect("a file");
        writer.write_all(&vec![b'x'; BOUND as usize + 1]).expect("written");
        bound(&path).expect("bounded");
        writer.write_all(b"next\n").expect("written");
        assert_eq!(size(&path), 5);
        assert_eq!(size(&dir.path().join("master.log.1")), BOUND + 1);
        bound(&path).expect("nothing to do");
        assert_eq!(size(&path), 5);
    }

    #[test]
    fn last_lines_are_those_since_a_position() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("x.log");
        std::fs::write(&path, "old\na\nb\nc\n").expect("a file");
        assert_eq!(last_lines(&path, 4, 2), "b\nc");
        assert_eq!(last_lines(&path, 4, 9), "a\nb\nc");
        assert_eq!(last_lines(&dir.path().join("none"), 0, 9), "");
    }
}
