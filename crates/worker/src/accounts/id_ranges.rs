//! Ranges of numbers of users and groups that an administrator has granted.

use std::io;
use std::path::Path;
use std::str::FromStr;

/// The first number of a range that is nobody's on a usual machine: below are root and the accounts
/// of services.
const FIRST_ORDINARY: u32 = 1_000;

/// Numbers with a meaning of their own: the kernel's unprivileged user, and what stands for "no
/// change" where numbers have 16 bits or 32.
const RESERVED: [u32; 3] = [65_534, 65_535, u32::MAX];

/// The largest file of grants that is read: one of a machine with ten thousand people is smaller.
const MOST_BYTES: u64 = 1 << 20;

/// Why a text is no range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("FIRST:COUNT, such as 100000:65536, of numbers from 1000 to 4294967294")]
pub struct NotARange;

/// Numbers from one to another, both among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRange {
    first: u32,
    last: u32,
}

impl IdRange {
    fn of_count(first: u32, count: u32) -> Option<IdRange> {
        Some(IdRange { first, last: first.checked_add(count.checked_sub(1)?)? })
    }

    /// What both hold.
    fn common(self, other: IdRange) -> Option<IdRange> {
        let (first, last) = (self.first.max(other.first), self.last.min(other.last));
        (first <= last).then_some(IdRange { first, last })
    }
}

impl FromStr for IdRange {
    type Err = NotARange;

    fn from_str(text: &str) -> Result<IdRange, NotARange> {
        let (first, count) = text.split_once(':').ok_or(NotARange)?;
        let range = IdRange::of_count(first.parse().map_err(|_| NotARange)?, count.parse().map_err(|_| NotARange)?);
        range.filter(|range| range.first >= FIRST_ORDINARY && range.last < u32::MAX).ok_or(NotARange)
    }
}

/// Numbers that may be given to owners, in the order in which they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdRanges(Vec<IdRange>);

impl From<IdRange> for IdRanges {
    fn from(range: IdRange) -> IdRanges {
        IdRanges(vec![range])
    }
}

impl IdRanges {
    /// What two files in the form of `/etc/subuid` both grant to a user, who is written there by
    /// its name or its number. A number is of use as that of a user and of its group alone.
    pub(super) fn granted(users: &Path, groups: &Path, name: &str, uid: u32) -> io::Result<IdRanges> {
        let (users, groups) = (read(users, name, uid)?, read(groups, name, uid)?);
        let ordinary = IdRange { first: FIRST_ORDINARY, last: u32::MAX - 1 };
        let common = users.iter().flat_map(|user| groups.iter().filter_map(|group| user.common(*group)));
        Ok(IdRanges(common.filter_map(|range| range.common(ordinary)).collect()))
    }

    /// Every number.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.0.iter().flat_map(|range| range.first..=range.last).filter(|number| !RESERVED.contains(number))
    }

    /// Whether one is granted.
    pub(super) fn contains(&self, number: u32) -> bool {
        !RESERVED.contains(&number) && self.0.iter().any(|range| (range.first..=range.last).contains(&number))
    }

    /// The first and the last number of each range.
    pub(super) fn ends(&self) -> impl Iterator<Item = u32> {
        self.0.iter().flat_map(|range| [range.first, range.last]).filter(|number| !RESERVED.contains(number))
    }
}

/// The ranges of a user in a file; none if there is no file. Lines that say nothing are left out,
/// as by the machine's own tools.
fn read(path: &Path, name: &str, uid: u32) -> io::Result<Vec<IdRange>> {
    use std::io::Read as _;
    let mut text = String::new();
    match std::fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened?.take(MOST_BYTES).read_to_string(&mut text)?,
    };
    let range = |line: &str| {
        let mut parts = line.trim().split(':');
        let (user, first, count) = (parts.next()?, parts.next()?, parts.next()?);
        let is_its = user == name || user.parse() == Ok(uid);
        is_its.then(|| IdRange::of_count(first.parse().ok()?, count.parse().ok()?)).flatten()
    };
    Ok(text.lines().filter_map(range).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(users: &str, groups: &str) -> Vec<u32> {
        let root = tempfile::tempdir().expect("a directory");
        let file = |name: &str, content: &str| {
            let path = root.path().join(name);
            std::fs::write(&path, content).expect("written");
            path
        };
        let (users, groups) = (file("subuid", users), file("subgid", groups));
        IdRanges::granted(&users, &groups, "muster-run", 107).expect("readable").numbers().collect()
    }

    #[test]
    fn a_number_is_granted_by_both_files_to_the_account_alone() {
        let users = "ann:100000:9\nmuster-run:200000:3\n# muster-run:1:2\n107:300000:1\n";
        assert_eq!(granted(users, "muster-run:200001:9\nmuster-run:300000:1\n"), [200_001, 200_002, 300_000]);
        assert!(granted(users, "ann:200000:3\n").is_empty());
        assert!(granted("muster-run:x:1\nmuster-run:4294967290:9\nmuster-run:5000:0", users).is_empty());
    }

    #[test]
    fn no_number_is_that_of_root_of_a_service_or_one_with_a_meaning() {
        let all = "muster-run:0:1002\nmuster-run:65533:4\n";
        assert_eq!(granted(all, all), [1_000, 1_001, 65_533, 65_536]);
    }

    #[test]
    fn a_range_is_a_first_number_and_a_count() {
        let numbers =
            |text: &str| text.parse().map(|range: IdRange| IdRanges::from(range).numbers().collect::<Vec<_>>());
        assert_eq!(numbers("70000:2"), Ok(vec![70_000, 70_001]));
        for wrong in ["70000", "70000:0", "0:9", "999:9", "4294967294:2", "a:b", "70000-70009"] {
            assert_eq!(numbers(wrong), Err(NotARange), "{wrong}");
        }
    }

    #[test]
    fn a_machine_without_such_files_grants_nothing() {
        let none = Path::new("/no/such/file");
        assert_eq!(IdRanges::granted(none, none, "muster-run", 107).expect("readable"), IdRanges::default());
    }
}
