//! The trace that a master leaves in its state directory: which election key is its own, and how far it has seen the store come.
//!
//! A master that starts again on the same directory need not wait until the lease of its predecessor ends: it holds the lock, so the
//! predecessor is dead, and its key can go at once.

use std::io;
use std::path::Path;

use muster_types::{ClusterUid, LeaderUid};

use super::follow::Seen;

use crate::OpenError;
use crate::directory::Directory;

/// A directory held by this process, with the trace in it.
#[derive(Debug)]
pub(super) struct Trace {
    directory: Directory,
}

/// An election key, and by whom it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) key: String,
    pub(super) lease: i64,
    pub(super) leader: LeaderUid,
}

const FILE: &str = "key";
const SEEN: &str = "seen";

impl Trace {
    /// Takes the directory within the state directory of the master.
    pub(super) fn take(state_dir: &Path) -> Result<Trace, OpenError> {
        Ok(Trace { directory: Directory::take(&state_dir.join("election"))? })
    }

    /// What the predecessor left. One that cannot be read is none: its lease ends by itself.
    pub(super) fn read(&self) -> Result<Option<Mark>, OpenError> {
        let path = self.directory.join(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
            Err(source) => Err(OpenError::Directory { path, source }),
        }
    }

    /// How far the store of this cluster was seen to have come by those before on this directory. Unknown is nothing: then a store that went
    /// back in time is found by what workers have seen, or not at all.
    pub(super) fn seen(&self, cluster: ClusterUid) -> Seen {
        let text = std::fs::read_to_string(self.directory.join(SEEN)).unwrap_or_default();
        parse_seen(&text).filter(|(of, _)| *of == cluster).map(|(_, seen)| seen).unwrap_or_default()
    }

    /// Notes it. Not synced: it may be older than what was seen, and then promises less.
    pub(super) fn note_seen(&self, cluster: ClusterUid, seen: Seen) -> io::Result<()> {
        let partial = self.directory.join("seen.new");
        std::fs::write(&partial, format!("{cluster}\n{}\n{}\n", seen.generation, seen.revision))?;
        std::fs::rename(partial, self.directory.join(SEEN))
    }

    /// Notes a key before it is made: one that is noted and was never made is looked for in vain.
    pub(super) fn write(&self, mark: &Mark) -> io::Result<()> {
        let partial = self.directory.join("key.new");
        std::fs::write(&partial, format!("{}\n{:016x}\n{:032x}\n", mark.key, mark.lease, mark.leader.0))?;
        std::fs::rename(partial, self.directory.join(FILE))
    }
}

fn parse(text: &str) -> Option<Mark> {
    let mut lines = text.lines();
    let key = lines.next()?.to_owned();
    let lease = i64::from_str_radix(lines.next()?, 16).ok()?;
    let leader = LeaderUid(u128::from_str_radix(lines.next()?, 16).ok()?);
    Some(Mark { key, lease, leader })
}

fn parse_seen(text: &str) -> Option<(ClusterUid, Seen)> {
    let mut lines = text.lines();
    let cluster = lines.next()?.parse().ok()?;
    let (generation, revision) = (lines.next()?.parse().ok()?, lines.next()?.parse().ok()?);
    Some((cluster, Seen { generation, revision }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_read_by_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let trace = Trace::take(dir.path()).unwrap();
        assert_eq!(trace.read().unwrap(), None);
        let mark = Mark { key: "/p/l/00".into(), lease: 0x7f, leader: LeaderUid(9) };
        trace.write(&mark).unwrap();
        assert!(matches!(Trace::take(dir.path()).unwrap_err(), OpenError::Locked { .. }));
        drop(trace);
        let trace = Trace::take(dir.path()).unwrap();
        assert_eq!(trace.read().unwrap(), Some(mark));
        let seen = Seen { generation: 2, revision: 77 };
        trace.note_seen(ClusterUid(5), seen).unwrap();
        assert_eq!(trace.seen(ClusterUid(5)), seen);
        assert_eq!(trace.seen(ClusterUid(6)), Seen::default(), "another cluster's");
        std::fs::write(dir.path().join("election/key"), b"\xff\xff").unwrap();
        assert_eq!(trace.read().unwrap(), None);
    }
}
