//! Cgroup directories as files: what both versions have in common.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::str::FromStr;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, mkdirat, openat, unlinkat};
use rustix::io::Errno;

/// A cgroup, within one boot: its hierarchy, and its inode there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CgroupId {
    /// Of the second version.
    V2(u64),
    /// Of the first version's freezer.
    Freezer(u64),
}

impl fmt::Display for CgroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CgroupId::V2(inode) => write!(f, "cgroup2:{inode}"),
            CgroupId::Freezer(inode) => write!(f, "freezer:{inode}"),
        }
    }
}

impl FromStr for CgroupId {
    type Err = ();

    fn from_str(text: &str) -> Result<CgroupId, ()> {
        let (hierarchy, inode) = text.split_once(':').ok_or(())?;
        let inode = inode.parse().map_err(|_| ())?;
        match hierarchy {
            "cgroup2" => Ok(CgroupId::V2(inode)),
            "freezer" => Ok(CgroupId::Freezer(inode)),
            _ => Err(()),
        }
    }
}

/// Bytes that are read of a file at most: enough for the process ids of a large tree.
const MAX_READ: u64 = 1 << 20;

pub(super) fn open_dir(parent: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    Ok(openat(parent, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Opens a directory only to name it to the kernel, which is cheaper than opening it for reading.
pub(super) fn open_path(parent: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    Ok(openat(parent, name, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Makes a directory that may exist.
pub(super) fn make_dir(parent: impl AsFd, name: &str) -> io::Result<()> {
    match mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn open_for_write(parent: impl AsFd, path: &str) -> io::Result<OwnedFd> {
    Ok(openat(parent, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?)
}

pub(super) fn write(parent: impl AsFd, path: &str, text: &str) -> io::Result<()> {
    std::fs::File::from(open_for_write(parent, path)?).write_all(text.as_bytes())
}

pub(super) fn read(parent: impl AsFd, path: &str) -> io::Result<String> {
    let file = openat(parent, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = String::new();
    std::fs::File::from(file).take(MAX_READ).read_to_string(&mut text)?;
    Ok(text)
}

/// The number after `key` in a file of `key number` lines; 0 if it is absent.
pub(super) fn read_counter(parent: impl AsFd, path: &str, key: &str) -> u64 {
    let Ok(text) = read(parent, path) else { return 0 };
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(name, _)| *name == key)
        .and_then(|(_, number)| number.trim().parse().ok())
        .unwrap_or(0)
}

/// Process ids of a cgroup and of everything below it. A process that our PID namespace does not
/// see has the id 0.
pub(super) fn members(parent: impl AsFd, name: &str) -> Vec<i32> {
    let mut found: Vec<i32> = read(&parent, &format!("{name}/cgroup.procs"))
        .map(|text| text.lines().filter_map(|line| line.parse().ok()).collect())
        .unwrap_or_default();
    if let Ok(dir) = open_dir(&parent, name) {
        for child in children(&dir) {
            found.extend(members(&dir, &child));
        }
    }
    found
}

/// Names of the cgroups in a cgroup.
pub(super) fn children(dir: impl AsFd) -> Vec<String> {
    let Ok(entries) = Dir::read_from(dir) else { return Vec::new() };
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type() == rustix::fs::FileType::Directory)
        .filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned))
        .filter(|name| name != "." && name != "..")
        .collect()
}

/// Removes a cgroup that has neither processes nor children; a missing one counts as removed.
pub(super) fn remove(parent: impl AsFd, name: &str) -> io::Result<()> {
    match unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Removes a cgroup with everything below it, as far as it is empty.
pub(super) fn remove_all(parent: impl AsFd, name: &str) -> io::Result<()> {
    if remove(&parent, name).is_ok() {
        return Ok(());
    }
    if let Ok(dir) = open_dir(&parent, name) {
        for child in children(&dir) {
            remove_all(&dir, &child)?;
        }
    }
    remove(parent, name)
}
