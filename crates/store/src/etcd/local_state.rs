//! The state that a master keeps in its state directory: its election key, and how far it has seen
//! the store come.
//!
//! A master that starts again on the same directory need not wait until the lease of its
//! predecessor ends: it holds the lock, so the predecessor is dead, and its key can be deleted at
//! once.

use std::io;
use std::path::Path;

use muster_os::OwnFiles;
use muster_os::file::replace;
use muster_types::{ClusterUid, LeaderUid};

use super::follow::HighestSeen;

use crate::OpenError;
use crate::directory::{Directory, LOCK};

/// The directory of this state, held by this process.
#[derive(Debug)]
pub(super) struct LocalState {
    directory: Directory,
}

/// An election key, its lease, and the uid of its maker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SavedKey {
    pub(super) key: String,
    pub(super) lease: i64,
    pub(super) leader: LeaderUid,
}

const FILE: &str = "key";
const SEEN: &str = "seen";
const OWN: OwnFiles = OwnFiles { marks: &[], others: &[LOCK, FILE, SEEN] };

impl LocalState {
    /// Takes the directory within the state directory of the master.
    pub(super) fn take(state_dir: &Path) -> Result<LocalState, OpenError> {
        Ok(LocalState { directory: Directory::take(&state_dir.join("election"), OWN)? })
    }

    /// The key that the predecessor left. An unreadable one counts as none, because its lease ends
    /// by itself.
    pub(super) fn read(&self) -> Result<Option<SavedKey>, OpenError> {
        let path = self.directory.join(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
            Err(source) => Err(OpenError::Directory { path, source }),
        }
    }

    /// How far earlier processes on this directory have seen the store of this cluster come; zeros
    /// if unknown. In that case only the epochs that workers have seen can show that the store went
    /// back in time.
    pub(super) fn seen(&self, cluster: ClusterUid) -> HighestSeen {
        let text = std::fs::read_to_string(self.directory.join(SEEN)).unwrap_or_default();
        parse_seen(&text).filter(|(of, _)| *of == cluster).map(|(_, seen)| seen).unwrap_or_default()
    }

    /// Saves how far the store has come. It is not synced, so it may be older than what was seen,
    /// and then detects less.
    pub(super) fn note_seen(&self, cluster: ClusterUid, seen: HighestSeen) -> io::Result<()> {
        let text = format!("{cluster}\n{}\n{}\n", seen.generation, seen.revision);
        replace(&self.directory.join(SEEN), text)
    }

    /// Saves a key before it is made. A saved key that was never made is simply not found.
    pub(super) fn write(&self, saved_key: &SavedKey) -> io::Result<()> {
        let SavedKey { key, lease, leader } = saved_key;
        replace(&self.directory.join(FILE), format!("{key}\n{lease:016x}\n{:032x}\n", leader.0))
    }
}

fn parse(text: &str) -> Option<SavedKey> {
    let mut lines = text.lines();
    let key = lines.next()?.to_owned();
    let lease = i64::from_str_radix(lines.next()?, 16).ok()?;
    let leader = LeaderUid(u128::from_str_radix(lines.next()?, 16).ok()?);
    Some(SavedKey { key, lease, leader })
}

fn parse_seen(text: &str) -> Option<(ClusterUid, HighestSeen)> {
    let mut lines = text.lines();
    let cluster = lines.next()?.parse().ok()?;
    let (generation, revision) = (lines.next()?.parse().ok()?, lines.next()?.parse().ok()?);
    Some((cluster, HighestSeen { generation, revision }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_read_by_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let local_state = LocalState::take(dir.path()).unwrap();
        assert_eq!(local_state.read().unwrap(), None);
        let saved_key = SavedKey { key: "/p/l/00".into(), lease: 0x7f, leader: LeaderUid(9) };
        local_state.write(&saved_key).unwrap();
        assert!(matches!(LocalState::take(dir.path()).unwrap_err(), OpenError::Locked { .. }));
        drop(local_state);
        let local_state = LocalState::take(dir.path()).unwrap();
        assert_eq!(local_state.read().unwrap(), Some(saved_key));
        let seen = HighestSeen { generation: 2, revision: 77 };
        local_state.note_seen(ClusterUid(5), seen).unwrap();
        assert_eq!(local_state.seen(ClusterUid(5)), seen);
        assert_eq!(local_state.seen(ClusterUid(6)), HighestSeen::default(), "another cluster's");
        std::fs::write(dir.path().join("election/key"), b"\xff\xff").unwrap();
        assert_eq!(local_state.read().unwrap(), None);
    }
}
