//! Removes a directory tree that a program made, however deep it is.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, RenameFlags, chmod, openat, renameat_with, statat, unlinkat};
use rustix::io::Errno;

/// Names of one directory that are held at a time.
const NAMES: usize = 1024;

/// Removes a directory with everything in it.
///
/// A program can nest directories a hundred thousand deep, so neither the stack nor the number of
/// descriptors may grow with the depth: what is in a directory is moved up to the top, from where
/// it is removed in its turn. Nothing is had through a link. A directory that its owner, this
/// process, may not write to is made writable, as caches leave some.
///
/// # Errors
/// Those of the system calls. What is removed by then stays removed.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    let top = open_directory(CWD, &name)?;
    let mut tree = RemovedTree { top, moved: 0 };
    loop {
        let names = names_in(&tree.top)?;
        if names.is_empty() {
            break;
        }
        for name in names {
            tree.remove(&name)?;
        }
    }
    match unlinkat(CWD, &name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

struct RemovedTree {
    top: OwnedFd,
    /// How many directories were moved up; each gets a name of its own.
    moved: u64,
}

impl RemovedTree {
    /// Removes an entry of the top.
    fn remove(&mut self, name: &CStr) -> io::Result<()> {
        if !is_left(passable(&self.top, || remove_at(&self.top, name)))? {
            return Ok(());
        }
        let directory = match open_directory(&self.top, name) {
            // Another entry has its name by now, and is met again.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            directory => directory?,
        };
        loop {
            let names = names_in(&directory)?;
            if names.is_empty() {
                break;
            }
            for inner in names {
                if is_left(passable(&directory, || remove_at(&directory, &inner)))? {
                    self.move_up(&directory, &inner)?;
                }
            }
        }
        // If a program has put something there meanwhile, the directory is met again.
        is_left(passable(&self.top, || remove_at(&self.top, name))).map(drop)
    }

    fn move_up(&mut self, from: &OwnedFd, name: &CStr) -> io::Result<()> {
        loop {
            let free = CString::new(format!(".moved-{}", self.moved))?;
            self.moved += 1;
            // A directory that is moved is written to, because its parent changes.
            let inner = open_path(from, name)?;
            let moving = || passable(&inner, || renameat_with(from, name, &self.top, &free, RenameFlags::NOREPLACE));
            match passable(from, moving) {
                Err(Errno::EXIST) => {}
                Ok(()) | Err(Errno::NOENT) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// Removes a file or an empty directory.
fn remove_at(parent: &OwnedFd, name: &CStr) -> rustix::io::Result<()> {
    match unlinkat(parent, name, AtFlags::empty()) {
        // POSIX has the second for a directory.
        Err(Errno::ISDIR | Errno::PERM) => unlinkat(parent, name, AtFlags::REMOVEDIR),
        removed => removed,
    }
}

/// Whether it is a directory that is not empty.
fn is_left(removed: rustix::io::Result<()>) -> io::Result<bool> {
    match removed {
        Ok(()) | Err(Errno::NOENT) => Ok(false),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(true),
        Err(errno) => Err(errno.into()),
    }
}

/// Does something to a directory; if it may not be, once more after the directory was made
/// writable.
fn passable(directory: &OwnedFd, act: impl Fn() -> rustix::io::Result<()>) -> rustix::io::Result<()> {
    match act() {
        Err(Errno::ACCESS) => {
            // A descriptor for reading cannot always be had, and `fchmod` takes no other.
            chmod(format!("/proc/self/fd/{}", directory.as_raw_fd()), Mode::RWXU)?;
            act()
        }
        done => done,
    }
}

fn open_path(parent: &OwnedFd, name: &CStr) -> io::Result<OwnedFd> {
    Ok(openat(parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?)
}

fn open_directory(parent: impl std::os::fd::AsFd, name: &CStr) -> io::Result<OwnedFd> {
    let parent: BorrowedFd<'_> = parent.as_fd();
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(parent, name, flags, Mode::empty())?)
}

/// Some of the names in a directory; none only if it is empty.
fn names_in(directory: &OwnedFd) -> io::Result<Vec<CString>> {
    let open = || openat(directory, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let opened = match open() {
        Err(Errno::ACCESS) => {
            chmod(format!("/proc/self/fd/{}", directory.as_raw_fd()), Mode::RWXU)?;
            open()?
        }
        opened => opened?,
    };
    let mut names = Vec::new();
    for entry in Dir::new(opened)? {
        let entry = entry?;
        if entry.file_name() != c"." && entry.file_name() != c".." {
            names.push(entry.file_name().to_owned());
        }
        if names.len() == NAMES {
            break;
        }
    }
    Ok(names)
}

/// Whether a path is a directory itself, and no link to one.
pub fn is_directory(path: &Path) -> io::Result<bool> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    let found = statat(CWD, &name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(rustix::fs::FileType::from_raw_mode(found.st_mode) == rustix::fs::FileType::Directory)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use rustix::fs::mkdirat;

    use super::*;

    /// A tree of so many levels, which no path could name.
    fn deep(top: &Path, levels: u32) {
        fs::create_dir(top).expect("made");
        let name = CString::new(top.as_os_str().as_bytes()).expect("a path");
        let mut at = open_directory(CWD, &name).expect("opened");
        for _ in 0..levels {
            mkdirat(&at, c"d", Mode::RWXU).expect("made");
            at = open_directory(&at, c"d").expect("opened");
        }
    }

    #[test]
    fn a_tree_of_any_depth_is_removed_with_a_few_descriptors() {
        let root = tempfile::tempdir().expect("a folder");
        let top = root.path().join("top");
        deep(&top, 20_000);
        for number in 0..3_000 {
            fs::write(top.join(number.to_string()), "x").expect("written");
        }
        fs::write(top.join(".moved-0"), "x").expect("written");
        remove_tree(&top).expect("removed");
        assert!(!top.exists());
    }

    #[test]
    fn a_link_is_removed_and_what_it_leads_to_is_not() {
        let root = tempfile::tempdir().expect("a folder");
        let (top, outside) = (root.path().join("top"), root.path().join("outside"));
        fs::create_dir_all(top.join("inner/more")).expect("made");
        fs::create_dir(&outside).expect("made");
        fs::write(outside.join("kept"), "x").expect("written");
        symlink(&outside, top.join("link")).expect("linked");
        symlink(&outside, top.join("inner/more/link")).expect("linked");
        remove_tree(&top).expect("removed");
        assert!(outside.join("kept").exists() && !top.exists());
        symlink(&outside, &top).expect("linked");
        remove_tree(&top).expect_err("it is a link");
        assert!(outside.join("kept").exists());
    }

    /// What it finds is exchanged under it all the while, so it may fail.
    #[test]
    fn a_link_that_takes_a_directorys_place_leads_nowhere() {
        let (root, outside) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        fs::write(outside.path().join("kept"), "x").expect("written");
        fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o500)).expect("locked");
        let top = root.path().join("top");
        let (inner, link) = (top.join("inner"), top.join("link"));
        let ended = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                    let _ = renameat_with(CWD, &inner, CWD, &link, RenameFlags::EXCHANGE);
                }
            });
            for _ in 0..1_000 {
                let _ = fs::create_dir_all(inner.join("more"));
                let _ = symlink(outside.path(), &link);
                let _ = fs::set_permissions(inner.join("more"), fs::Permissions::from_mode(0o000));
                let _ = remove_tree(&top);
            }
            ended.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        let mode = outside.path().metadata().expect("there").permissions().mode();
        fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o700)).expect("unlocked");
        assert_eq!((mode & 0o777, outside.path().join("kept").exists()), (0o500, true));
    }

    #[test]
    fn what_its_owner_may_not_write_to_is_removed() {
        let root = tempfile::tempdir().expect("a folder");
        let top = root.path().join("top");
        fs::create_dir_all(top.join("closed/inner/more")).expect("made");
        fs::write(top.join("closed/inner/more/file"), "x").expect("written");
        for path in ["closed/inner/more", "closed/inner", "closed"] {
            fs::set_permissions(top.join(path), fs::Permissions::from_mode(0o000)).expect("closed");
        }
        remove_tree(&top).expect("removed");
        assert!(!top.exists());
    }
}
