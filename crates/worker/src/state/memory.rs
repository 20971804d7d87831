//! The joined cluster with the highest epoch seen, and the known masters: the only things that the
//! agent records.

use std::path::{Path, PathBuf};
use std::{fs, io};

use muster_agent::link::RememberedCluster;
use muster_types::{Epoch, LeaderUid};

use super::StateError;

fn path(directory: &Path) -> PathBuf {
    directory.join("epoch")
}

/// The cluster and epoch on disk, if any.
pub fn load(directory: &Path) -> Result<Option<RememberedCluster>, StateError> {
    let path = path(directory);
    match fs::read_to_string(&path) {
        Ok(text) => parse(&text).map(Some).ok_or(StateError::Garbled(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StateError::Read(path, error)),
    }
}

/// Writes cluster and epoch, atomically and synced.
pub fn store(directory: &Path, remembered: &RememberedCluster) -> Result<(), StateError> {
    let Epoch { generation, revision, leader } = remembered.epoch;
    write_synced(&path(directory), &format!("cluster {}\nepoch {generation} {revision} {leader}\n", remembered.cluster))
}

/// Forgets the cluster with its masters, so that another can be joined.
pub fn forget(directory: &Path) -> Result<(), StateError> {
    for path in [masters_path(directory), path(directory)] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(StateError::Write(path, error)),
            _ => {}
        }
    }
    Ok(())
}

fn masters_path(directory: &Path) -> PathBuf {
    directory.join("masters")
}

/// The masters that were known, any of which will do after a restart. Nothing depends on them: a
/// file that cannot be read names none.
pub fn load_masters(directory: &Path) -> Vec<String> {
    let text = fs::read_to_string(masters_path(directory)).unwrap_or_default();
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Writes the known masters, one per line.
pub fn store_masters(directory: &Path, masters: &[String]) -> Result<(), StateError> {
    write_synced(&masters_path(directory), &format!("{}\n", masters.join("\n")))
}

fn parse(text: &str) -> Option<RememberedCluster> {
    let mut lines = text.lines();
    let cluster = lines.next()?.strip_prefix("cluster ")?.parse().ok()?;
    let mut numbers = lines.next()?.strip_prefix("epoch ")?.split(' ');
    let generation = numbers.next()?.parse().ok()?;
    let revision = numbers.next()?.parse().ok()?;
    let leader: LeaderUid = numbers.next()?.parse().ok()?;
    Some(RememberedCluster { cluster, epoch: Epoch { generation, revision, leader } })
}

/// Writes a file so that after a crash it holds either the old text or the new, and the new once
/// this has returned.
pub(super) fn write_synced(path: &Path, text: &str) -> Result<(), StateError> {
    muster_os::file::replace_synced(path, text).map_err(|error| StateError::Write(path.to_owned(), error))
}

#[cfg(test)]
mod tests {
    use muster_testenv::SmallDisk;
    use muster_types::ClusterUid;

    use super::*;

    #[test]
    fn what_is_stored_is_loaded_until_it_is_forgotten() {
        let directory = tempfile::tempdir().expect("a directory");
        let directory = directory.path();
        assert_eq!(load(directory).expect("nothing yet"), None);
        let epoch = Epoch { generation: 2, revision: 77, leader: LeaderUid(5) };
        let remembered = RememberedCluster { cluster: ClusterUid(9), epoch };
        store(directory, &remembered).expect("stored");
        assert_eq!(load(directory).expect("loaded"), Some(remembered));
        assert!(load_masters(directory).is_empty());
        let masters = ["a:1", "b:2"].map(str::to_owned);
        store_masters(directory, &masters).expect("stored");
        assert_eq!(load_masters(directory), masters);
        forget(directory).expect("forgotten");
        assert!(load_masters(directory).is_empty());
        forget(directory).expect("forgotten twice");
        assert_eq!(load(directory).expect("nothing again"), None);
    }

    #[test]
    fn a_full_disk_leaves_what_was_stored_before_and_takes_the_next_once_there_is_room() {
        let Some(disk) = SmallDisk::mount(64) else { return };
        let remembered = |revision| {
            let epoch = Epoch { generation: 2, revision, leader: LeaderUid(5) };
            RememberedCluster { cluster: ClusterUid(9), epoch }
        };
        store(disk.path(), &remembered(1)).expect("stored");
        disk.fill(0);
        assert!(matches!(store(disk.path(), &remembered(2)), Err(StateError::Write(..))));
        assert_eq!(load(disk.path()).expect("readable"), Some(remembered(1)));
        disk.make_room();
        store(disk.path(), &remembered(2)).expect("stored");
        assert_eq!(load(disk.path()).expect("readable"), Some(remembered(2)));
    }
}
