//! The state directory: its lock, the incarnation, the files' names.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use muster_agent::runner_protocol::{LOCK_NAME, PID_FILE_NAME, SOCKET_NAME, STATE_MARKS, STATE_OTHERS};
use muster_os::{LockError, LockFile, OwnFiles, PrivateDirectoryError, make_private};
use muster_types::Incarnation;

/// The directory, locked.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    lock: LockFile,
}

/// Why the directory cannot be used.
#[derive(Debug)]
pub(crate) enum StateDirError {
    /// Another runner holds it; the path of its socket.
    Locked(PathBuf),
    /// It cannot be made, or is not taken.
    Directory(PrivateDirectoryError),
    /// An operation on a path failed.
    Io(&'static str, PathBuf, io::Error),
}

const INCARNATION_NAME: &str = "incarnation";
const JOURNAL_NAME: &str = "journal";
const LOG_NAME: &str = "runner.log";

impl StateDir {
    /// Makes the directory if it does not exist, closes it to others, and locks it for as long as
    /// the value (or a process that inherited it) lives.
    pub(crate) fn open(path: &Path) -> Result<StateDir, StateDirError> {
        let fail = |what, at: &Path| {
            let at = at.to_owned();
            move |error| StateDirError::Io(what, at, error)
        };
        let own = OwnFiles { marks: STATE_MARKS, others: STATE_OTHERS };
        make_private(path, own).map_err(StateDirError::Directory)?;
        let path = fs::canonicalize(path).map_err(fail("find", path))?;
        let lock_path = path.join(LOCK_NAME);
        let lock = LockFile::take(&lock_path).map_err(|error| match error {
            LockError::Held(_) => StateDirError::Locked(path.join(SOCKET_NAME)),
            LockError::File(error) => fail("open", &lock_path)(error),
        })?;
        Ok(StateDir { path, lock })
    }

    /// The descriptor that holds the lock.
    pub(crate) fn lock_fd(&self) -> i32 {
        self.lock.file().as_raw_fd()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the directory never had a runner.
    pub(crate) fn is_new(&self) -> bool {
        !self.path.join(INCARNATION_NAME).exists() && !self.journal().exists()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path.join(SOCKET_NAME)
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.path.join(JOURNAL_NAME)
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path.join(LOG_NAME)
    }

    /// The name of the worker's cgroup. It depends on the path alone, so that it is the same after
    /// the directory was wiped. It is a hash, because a path may be longer than a name, and the
    /// function is fixed, because the next version must find the same name.
    pub(crate) fn worker_name(&self) -> String {
        use std::os::unix::ffi::OsStrExt as _;
        format!("w-{:016x}", fnv1a(self.path.as_os_str().as_bytes()))
    }

    /// Takes the next incarnation and writes it to disk. `seen` is the one that wrote the journal,
    /// in case the counter's file is lost.
    pub(crate) fn next_incarnation(&self, seen: Option<Incarnation>) -> io::Result<Incarnation> {
        let path = self.path.join(INCARNATION_NAME);
        let last = match fs::read_to_string(&path) {
            Ok(text) => parse_counter(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        let counter = last.max(seen.map_or(0, |seen| seen.counter)) + 1;
        let incarnation = Incarnation { counter, random: random()? };
        muster_os::file::replace_synced(&path, format!("{incarnation}\n"))?;
        Ok(incarnation)
    }

    /// Writes the process id, for people and scripts. The reliable source is the peer of the
    /// socket.
    pub(crate) fn write_pid(&self, pid: u32) -> io::Result<()> {
        fs::write(self.path.join(PID_FILE_NAME), format!("{pid}\n"))
    }

    pub(crate) fn remove_pid(&self) {
        // Nothing relies on the file.
        let _ = fs::remove_file(self.path.join(PID_FILE_NAME));
    }
}

/// A damaged file counts as absent: the random part still tells incarnations apart.
fn parse_counter(text: &str) -> u64 {
    text.split('-').next().and_then(|counter| counter.trim().parse().ok()).unwrap_or(0)
}

fn random() -> io::Result<u64> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_runner_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = StateDir::open(dir.path()).unwrap();
        assert!(matches!(StateDir::open(dir.path()), Err(StateDirError::Locked(_))));
        drop(first);
        assert!(StateDir::open(dir.path()).is_ok());
    }

    #[test]
    fn the_directory_of_an_agent_is_closed_and_one_that_is_for_many_is_left_as_it_was() {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
        let set_mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        for mark in STATE_MARKS {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join(mark), "").unwrap();
            fs::create_dir(dir.path().join("somebody's")).unwrap();
            set_mode(dir.path(), 0o755);
            StateDir::open(dir.path()).unwrap();
            assert_eq!(mode(dir.path()), 0o700, "{mark}");
        }
        let dir = tempfile::tempdir().unwrap();
        set_mode(dir.path(), 0o1777);
        assert!(matches!(StateDir::open(dir.path()), Err(StateDirError::Directory(_))));
        assert_eq!((mode(dir.path()), fs::read_dir(dir.path()).unwrap().count()), (0o1777, 0));
    }

    #[test]
    fn incarnations_grow_even_if_the_counter_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let first = state.next_incarnation(None).unwrap();
        let second = state.next_incarnation(Some(first)).unwrap();
        assert_eq!((first.counter, second.counter), (1, 2));
        fs::write(dir.path().join(INCARNATION_NAME), "garbage").unwrap();
        let third = state.next_incarnation(Some(second)).unwrap();
        assert!(third > second && third.random != second.random);
    }

    #[test]
    fn the_cgroup_name_depends_on_the_path_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("worker");
        let before = StateDir::open(&path).unwrap().worker_name();
        fs::remove_dir_all(&path).unwrap();
        assert_eq!(StateDir::open(&path).unwrap().worker_name(), before);
        assert_ne!(StateDir::open(&dir.path().join("other")).unwrap().worker_name(), before);
    }
}
