//! A user for each owner, by a number that it keeps for good: files of one owner must never become
//! those of another.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use muster_os::file::replace_private;

use super::IdRanges;

/// Name of the file in the state directory: a JSON object of owners and their numbers.
const FILE: &str = "owner-uids.json";

/// The most owners, which bounds the file and the time to write it: more people than a machine
/// serves, and as many as one range of `/etc/subuid` has numbers.
const MOST_OWNERS: usize = 65_536;

/// A file of that many owners with the longest names is smaller.
const MOST_BYTES: u64 = 64 << 20;

/// Why an owner has no number.
#[derive(Debug, thiserror::Error)]
pub enum NoOwnerUid {
    /// Every number is another owner's.
    #[error("this worker has no user left for {0}: all numbers of its range are given to other owners")]
    UsedUp(String),
    /// The number that it was given is no longer granted.
    #[error("{0} had the user {1} on this worker, which is no longer in its range")]
    Withdrawn(String, u32),
    /// The file cannot be read or written.
    #[error("cannot note the user of an owner in {0}")]
    File(PathBuf, #[source] io::Error),
}

/// The numbers of owners.
#[derive(Debug)]
pub(super) struct OwnerUids {
    ranges: IdRanges,
    file: PathBuf,
    /// What the file says; `None` before it was read.
    known: Mutex<Option<BTreeMap<String, u32>>>,
}

impl OwnerUids {
    pub(super) fn new(ranges: IdRanges, state_dir: &Path) -> OwnerUids {
        OwnerUids { ranges, file: state_dir.join(FILE), known: Mutex::default() }
    }

    pub(super) fn ranges(&self) -> &IdRanges {
        &self.ranges
    }

    /// Reads the file, unless that was done. To be called once the state directory is locked.
    pub(super) fn load(&self) -> Result<(), NoOwnerUid> {
        self.with_known(|_| Ok(()))
    }

    /// The number of an owner, which is on disk before it is returned. An owner that had none gets
    /// the first that nobody has.
    pub(super) fn of(&self, owner: &str) -> Result<u32, NoOwnerUid> {
        self.with_known(|known| {
            match known.get(owner) {
                Some(uid) if self.ranges.contains(*uid) => return Ok(*uid),
                Some(uid) => return Err(NoOwnerUid::Withdrawn(owner.to_owned(), *uid)),
                None => {}
            }
            let taken: BTreeSet<u32> = known.values().copied().collect();
            let free = self.ranges.numbers().find(|number| !taken.contains(number));
            let uid = free.filter(|_| known.len() < MOST_OWNERS);
            let uid = uid.ok_or_else(|| NoOwnerUid::UsedUp(owner.to_owned()))?;
            let mut next = known.clone();
            next.insert(owner.to_owned(), uid);
            self.write(&next)?;
            *known = next;
            Ok(uid)
        })
    }

    fn with_known<T>(
        &self,
        act: impl FnOnce(&mut BTreeMap<String, u32>) -> Result<T, NoOwnerUid>,
    ) -> Result<T, NoOwnerUid> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none() {
            *known = Some(self.read()?);
        }
        act(known.get_or_insert_default())
    }

    fn read(&self) -> Result<BTreeMap<String, u32>, NoOwnerUid> {
        let failed = |error| NoOwnerUid::File(self.file.clone(), error);
        let file = match std::fs::File::open(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            opened => opened.map_err(failed)?,
        };
        let mut text = Vec::new();
        file.take(MOST_BYTES).read_to_end(&mut text).map_err(failed)?;
        let known: BTreeMap<String, u32> = serde_json::from_slice(&text).map_err(|error| failed(error.into()))?;
        let numbers: BTreeSet<_> = known.values().collect();
        if numbers.len() != known.len() {
            let twice = io::Error::new(io::ErrorKind::InvalidData, "it gives one number to two owners");
            return Err(failed(twice));
        }
        Ok(known)
    }

    fn write(&self, known: &BTreeMap<String, u32>) -> Result<(), NoOwnerUid> {
        let failed = |error| NoOwnerUid::File(self.file.clone(), error);
        let text = serde_json::to_vec(known).map_err(|error| failed(error.into()))?;
        replace_private(&self.file, text).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uids(root: &Path, range: &str) -> OwnerUids {
        OwnerUids::new(IdRanges::from(range.parse::<super::super::IdRange>().expect("a range")), root)
    }

    #[test]
    fn an_owner_keeps_its_number_and_nobody_else_ever_has_it() {
        let root = tempfile::tempdir().expect("a directory");
        let first = uids(root.path(), "70000:3");
        let given = ["ann", "bob", "ann", "a name, with = and \"\n"].map(|owner| first.of(owner).expect("one"));
        assert_eq!(given, [70_000, 70_001, 70_000, 70_002]);
        drop(first);
        let next = uids(root.path(), "70000:3");
        assert_eq!(next.of("bob").expect("one"), 70_001);
        let used_up = next.of("eve").expect_err("none is left");
        assert!(matches!(used_up, NoOwnerUid::UsedUp(_)), "{used_up}");
        // A range that grew serves more, one that moved gives no number twice and none back.
        let grown = uids(root.path(), "70002:2");
        assert_eq!(grown.of("eve").expect("one"), 70_003);
        assert!(matches!(grown.of("ann"), Err(NoOwnerUid::Withdrawn(_, 70_000))));
    }

    #[test]
    fn a_file_that_cannot_be_read_gives_nobody_a_number() {
        for text in ["", "{\"ann\":70000", "{\"ann\":70000,\"bob\":70000}", "{\"ann\":-1}"] {
            let root = tempfile::tempdir().expect("a directory");
            std::fs::write(root.path().join(FILE), text).expect("written");
            let uids = uids(root.path(), "70000:9");
            assert!(matches!(uids.load(), Err(NoOwnerUid::File(..))), "{text}");
            assert!(matches!(uids.of("eve"), Err(NoOwnerUid::File(..))), "{text}");
            assert_eq!(std::fs::read_to_string(root.path().join(FILE)).expect("readable"), text);
        }
    }

    #[test]
    fn a_number_that_could_not_be_noted_is_not_given() {
        let root = tempfile::tempdir().expect("a directory");
        let missing = root.path().join("missing");
        assert!(matches!(uids(&missing, "70000:9").of("ann"), Err(NoOwnerUid::File(..))));
    }
}
