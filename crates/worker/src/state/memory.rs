//! The cluster that was joined and the highest epoch seen: the only things that the agent records.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use muster_agent::link::Remembered;
use muster_types::{Epoch, LeaderUid};

use super::StateError;

fn path(directory: &Path) -> PathBuf {
    directory.join("epoch")
}

/// What is on disk.
pub fn load(directory: &Path) -> Result<Option<Remembered>, StateError> {
    let path = path(directory);
    match fs::read_to_string(&path) {
        Ok(text) => parse(&text).map(Some).ok_or(StateError::Garbled(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StateError::Read(path, error)),
    }
}

/// Writes it, atomically and synced.
pub fn store(directory: &Path, remembered: &Remembered) -> Result<(), StateError> {
    let Epoch { generation, revision, leader } = remembered.epoch;
    write_synced(&path(directory), &format!("cluster {}\nepoch {generation} {revision} {leader}\n", remembered.cluster))
}

/// Forgets the cluster, so that another can be joined.
pub fn forget(directory: &Path) -> Result<(), StateError> {
    let path = path(directory);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StateError::Write(path, error)),
        _ => Ok(()),
    }
}

fn parse(text: &str) -> Option<Remembered> {
    let mut lines = text.lines();
    let cluster = lines.next()?.strip_prefix("cluster ")?.parse().ok()?;
    let mut numbers = lines.next()?.strip_prefix("epoch ")?.split(' ');
    let generation = numbers.next()?.parse().ok()?;
    let revision = numbers.next()?.parse().ok()?;
    let leader: LeaderUid = numbers.next()?.parse().ok()?;
    Some(Remembered { cluster, epoch: Epoch { generation, revision, leader } })
}

/// Writes a file so that after a crash it holds either the old text or the new, and the new once this has returned.
pub(super) fn write_synced(path: &Path, text: &str) -> Result<(), StateError> {
    let write = || -> io::Result<()> {
        let temporary = path.with_extension("new");
        let mut file = File::create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        File::open(directory)?.sync_all()
    };
    write().map_err(|error| StateError::Write(path.to_owned(), error))
}

#[cfg(test)]
mod tests {
    use muster_types::ClusterUid;

    use super::*;

    #[test]
    fn what_is_stored_is_loaded_until_it_is_forgotten() {
        let directory = tempfile::tempdir().expect("a directory");
        let directory = directory.path();
        assert_eq!(load(directory).expect("nothing yet"), None);
        let epoch = Epoch { generation: 2, revision: 77, leader: LeaderUid(5) };
        let remembered = Remembered { cluster: ClusterUid(9), epoch };
        store(directory, &remembered).expect("stored");
        assert_eq!(load(directory).expect("loaded"), Some(remembered));
        forget(directory).expect("forgotten");
        forget(directory).expect("forgotten twice");
        assert_eq!(load(directory).expect("nothing again"), None);
    }
}
