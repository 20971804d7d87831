//! Which logs are kept: those of running attempts, then the newest, by time and by size.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use std::{fs, io};

use muster_types::AttemptKey;

use super::STREAMS;

struct Logs {
    directory: PathBuf,
    newest: SystemTime,
    bytes: u64,
}

/// The result of a pass of cleaning up.
#[derive(Debug, Default)]
pub struct CleanedUp {
    /// Entries that were removed.
    pub removed: usize,
    /// The number of entries that could not be removed, and the error of the first.
    pub failed: Option<(usize, io::Error)>,
}

impl CleanedUp {
    /// Counts one more entry. An entry that is gone already needs no removal.
    pub fn count(&mut self, removed: io::Result<bool>) {
        match removed {
            Ok(true) => self.removed += 1,
            Ok(false) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => match &mut self.failed {
                Some((count, _)) => *count += 1,
                None => self.failed = Some((1, error)),
            },
        }
    }
}

/// Removes a file, or a directory with everything in it. Returns true if it did.
pub fn remove(path: &Path) -> io::Result<bool> {
    let removed = if muster_os::is_directory(path)? { muster_os::remove_tree(path) } else { fs::remove_file(path) };
    removed.map(|()| true)
}

/// Removes logs of ended attempts that are older than `age`, and the oldest above `bytes` on disk
/// in all.
pub fn remove_old_logs(
    root: &Path,
    age: Duration,
    bytes: u64,
    now: SystemTime,
    may_run: impl Fn(&AttemptKey) -> bool,
) -> io::Result<CleanedUp> {
    let mut cleaned = CleanedUp::default();
    let mut ended = Vec::new();
    for entry in fs::read_dir(root)?.filter_map(Result::ok) {
        let Some(attempt) = entry.file_name().to_str().and_then(|name| name.parse::<AttemptKey>().ok()) else {
            continue;
        };
        if !may_run(&attempt) {
            match measure(entry.path(), now) {
                Ok(logs) => ended.push(logs),
                Err(error) => cleaned.count(Err(error)),
            }
        }
    }
    ended.sort_by_key(|logs| std::cmp::Reverse(logs.newest));
    let mut kept: u64 = 0;
    for logs in ended {
        kept = kept.saturating_add(logs.bytes);
        let old = now.duration_since(logs.newest).is_ok_and(|since| since >= age);
        if old || kept > bytes {
            kept = kept.saturating_sub(logs.bytes);
            cleaned.count(remove(&logs.directory));
        }
    }
    Ok(cleaned)
}

fn measure(directory: PathBuf, now: SystemTime) -> io::Result<Logs> {
    let newest = dated(&fs::symlink_metadata(&directory)?, now)?;
    let mut logs = Logs { newest, bytes: 0, directory };
    for stream in STREAMS {
        // A link to a larger file would have the logs of others removed.
        if let Ok(metadata) = fs::symlink_metadata(logs.directory.join(stream)) {
            logs.newest = logs.newest.max(dated(&metadata, now)?);
            logs.bytes += metadata.blocks() * 512;
        }
    }
    Ok(logs)
}

/// When it was written last. A program can date its own log as it likes: for a date in the future,
/// the last change of any kind counts.
fn dated(metadata: &fs::Metadata, now: SystemTime) -> io::Result<SystemTime> {
    let modified = metadata.modified()?;
    let changed = SystemTime::UNIX_EPOCH + Duration::new(metadata.ctime().try_into().unwrap_or(0), 0);
    Ok(if modified > now { changed } else { modified })
}

#[cfg(test)]
mod tests {
    use muster_types::{AttemptNumber, DriverUid};

    use super::*;

    fn attempt(number: u32) -> AttemptKey {
        AttemptKey::Driver(DriverUid(1), AttemptNumber(number))
    }

    fn setting(attempts: u32) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        for number in 1..=attempts {
            let directory = root.path().join(attempt(number).to_string());
            fs::create_dir(&directory).expect("made");
            fs::write(directory.join("stdout"), vec![1; 8_192]).expect("written");
            let age = Duration::from_secs(u64::from(attempts - number));
            let file = fs::File::options().write(true).open(directory.join("stdout")).expect("opened");
            file.set_modified(SystemTime::now() + Duration::from_secs(60) - age).expect("dated");
        }
        root
    }

    fn left(root: &Path) -> usize {
        fs::read_dir(root).expect("readable").count()
    }

    #[test]
    fn old_logs_go_and_those_of_what_runs_stay() {
        let root = setting(3);
        let later = SystemTime::now() + Duration::from_secs(3_600);
        let running = |key: &AttemptKey| *key == attempt(1);
        assert_eq!(
            remove_old_logs(root.path(), Duration::from_secs(60), u64::MAX, later, running).expect("done").removed,
            2
        );
        assert!(root.path().join(attempt(1).to_string()).exists());
    }

    #[test]
    fn a_log_that_its_program_dates_in_the_future_is_not_kept_longer() {
        let root = setting(1);
        let day = Duration::from_secs(86_400);
        let log = fs::File::options().write(true).open(root.path().join(attempt(1).to_string()).join("stdout"));
        log.expect("opened").set_modified(SystemTime::now() + 1_000 * day).expect("dated");
        let pass = |now| remove_old_logs(root.path(), day, u64::MAX, now, |_| false).expect("done").removed;
        assert_eq!(pass(SystemTime::now()), 0);
        assert_eq!(pass(SystemTime::now() + 2 * day), 1);
    }

    #[test]
    fn the_oldest_go_first_when_all_are_too_large() {
        let root = setting(3);
        let age = Duration::from_secs(3_600);
        // When none of their dates is in the future.
        let soon = SystemTime::now() + Duration::from_secs(120);
        assert_eq!(remove_old_logs(root.path(), age, 20_000, soon, |_| false).expect("done").removed, 1);
        assert!(!root.path().join(attempt(1).to_string()).exists());
        assert_eq!(left(root.path()), 2);
    }

    #[test]
    fn a_link_in_the_place_of_a_log_has_no_other_logs_removed() {
        let root = setting(2);
        let large = tempfile::NamedTempFile::new().expect("a file");
        fs::write(large.path(), vec![1; 1 << 20]).expect("written");
        let log = root.path().join(attempt(2).to_string()).join("stdout");
        fs::remove_file(&log).expect("removed");
        std::os::unix::fs::symlink(large.path(), &log).expect("linked");
        let age = Duration::from_secs(3_600);
        assert_eq!(remove_old_logs(root.path(), age, 100_000, SystemTime::now(), |_| false).expect("done").removed, 0);
    }

    #[test]
    fn what_is_no_attempt_is_left_alone() {
        let root = setting(0);
        fs::create_dir(root.path().join("mine")).expect("made");
        assert_eq!(
            remove_old_logs(root.path(), Duration::ZERO, 0, SystemTime::now(), |_| false).expect("done").removed,
            0
        );
    }
}
