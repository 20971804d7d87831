//! Directories of which a program is the only writer. One rule for all of them: what is made is the
//! program's, what exists is taken only if that takes nothing from anybody.

use std::error::Error;
use std::fmt;
use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fchmod, fstat, openat, statat};
use rustix::io::Errno;

/// What a program puts into a directory of its own, by which it knows the directory again.
#[derive(Debug, Clone, Copy)]
pub struct OwnFiles {
    /// Regular files any of which shows that the directory is the program's, whatever else it
    /// holds.
    pub marks: &'static [&'static str],
    /// Names that show nothing by themselves, but are no other program's where nothing else is.
    pub others: &'static [&'static str],
}

/// What a new file system holds before anybody has written to it.
const LOST_AND_FOUND: &[u8] = b"lost+found";

const OWNER_ALONE: u32 = 0o700;
const READABLE: u32 = 0o755;
const TRAVERSABLE: u32 = 0o711;
const STICKY: u32 = 0o1000;
const GROUP_AND_OTHERS: u32 = 0o077;
const OTHERS: u32 = 0o007;
const OTHERS_WRITE: u32 = 0o002;
const GROUP_WRITES: u32 = 0o020;

/// Why a directory is not taken. It was left as it was.
#[derive(Debug)]
pub enum PrivateDirectoryError {
    /// It cannot be made or looked at.
    Unusable(PathBuf, io::Error),
    /// Everybody may write to it, so that it is for many; and whether it holds the program's files.
    Shared(PathBuf, bool),
    /// It holds a file of this name, which is not the program's.
    Foreign(PathBuf, PathBuf),
    /// Another user made it where everybody may.
    Planted(PathBuf, u32),
    /// Others may enter it, and it is not ours to close.
    OpenToOthers(PathBuf),
    /// Another user, or a group, can replace what lies in it.
    Replaceable(PathBuf),
}

impl fmt::Display for PrivateDirectoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let remedy = |path: &Path| format!("make a directory of its own, such as {}", path.join("muster").display());
        match self {
            PrivateDirectoryError::Unusable(path, _) => write!(f, "cannot use the directory {}", path.display()),
            PrivateDirectoryError::Shared(path, is_known) => {
                write!(f, "everybody may write to {}: {}", path.display(), remedy(path))?;
                match is_known {
                    true => write!(f, "; or, if it is Muster's alone, chmod 700 it"),
                    false => Ok(()),
                }
            }
            PrivateDirectoryError::Foreign(path, name) => {
                let (path, name, remedy) = (path.display(), name.display(), remedy(path));
                write!(f, "{path} holds {name}, which is not Muster's, and would be closed to others: {remedy}")
            }
            PrivateDirectoryError::Planted(path, owner) => {
                let path = path.display();
                write!(f, "{path} was made by another user ({owner}) where everybody may: take another name or place")
            }
            PrivateDirectoryError::Replaceable(path) => {
                let path = path.display();
                write!(f, "another user or a group may write to {path}, and so replace what is made there: chown or ")?;
                write!(f, "chmod g-w it, or take another place")
            }
            PrivateDirectoryError::OpenToOthers(path) => {
                let (path, remedy) = (path.display(), remedy(path));
                write!(f, "{path} is open to others, and another user's to close: chmod o-rwx it, or {remedy}")
            }
        }
    }
}

impl Error for PrivateDirectoryError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            PrivateDirectoryError::Unusable(_, error) => Some(error),
            _ => None,
        }
    }
}

/// Makes a directory that only its owner may enter, or closes one that exists.
///
/// One that exists is closed if it is empty (`lost+found` aside) or known by its files. It is
/// refused, and left as it was, if everybody may write to it, if it holds anything else, or if
/// another user made it where everybody may. One that is another user's, such as a volume that a
/// container is given by its group, cannot be closed: it is taken as it is if it is closed to
/// all but its group, else refused.
pub fn make_private(path: &Path, own: OwnFiles) -> Result<(), PrivateDirectoryError> {
    let unusable = |error: io::Error| PrivateDirectoryError::Unusable(path.to_owned(), error);
    refuse_planted(path)?;
    let mut builder = DirBuilder::new();
    builder.mode(OWNER_ALONE);
    if let Some(parent) = path.parent() {
        builder.recursive(true).create(parent).map_err(unusable)?;
    }
    match builder.recursive(false).create(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => close(path, own),
        Err(error) => Err(unusable(error)),
    }
}

/// Makes a directory in which the program alone writes and which others may enter, or takes one
/// that exists as it is, whatever it holds. It is refused if everybody may write to it, or if
/// another user made it where everybody may: others could have put links in the places of the
/// program's files.
pub fn make_readable(path: &Path) -> Result<(), PrivateDirectoryError> {
    let unusable = |error: io::Error| PrivateDirectoryError::Unusable(path.to_owned(), error);
    refuse_planted(path)?;
    DirBuilder::new().recursive(true).mode(READABLE).create(path).map_err(unusable)?;
    refuse_shared(path)
}

/// Does the same, but makes a directory, and what is missing above it, that others may pass and not
/// list, whatever the umask: what is in it is open to those whom it is given to. For them it is
/// also refused if it, or a directory above it, is neither ours nor root's, or if its group may
/// write to it: they could take away what lies there and put something else into its place.
pub fn make_traversable(path: &Path) -> Result<(), PrivateDirectoryError> {
    refuse_planted(path)?;
    let unusable = |error| PrivateDirectoryError::Unusable(path.to_owned(), error);
    make_traversable_parts(path).map_err(unusable)?;
    refuse_shared(path)?;
    match replaceable(path).map_err(unusable)? {
        Some(part) => Err(PrivateDirectoryError::Replaceable(part)),
        None => Ok(()),
    }
}

/// The part of a path in which another user, or for its last part a group, can replace what is
/// there.
fn replaceable(path: &Path) -> io::Result<Option<PathBuf>> {
    let us = rustix::process::geteuid().as_raw();
    let whole = path.canonicalize()?;
    if whole.metadata()?.mode() & GROUP_WRITES != 0 {
        return Ok(Some(whole));
    }
    for part in whole.ancestors() {
        let owner = part.metadata()?.uid();
        if owner != 0 && owner != us {
            return Ok(Some(part.to_owned()));
        }
    }
    Ok(None)
}

/// Makes what is missing above a directory, so that others may pass, whatever the umask: for one
/// that is made private, beside what is not.
pub fn make_traversable_parents(path: &Path) -> Result<(), PrivateDirectoryError> {
    refuse_planted(path)?;
    let made = path.parent().map_or(Ok(()), make_traversable_parts);
    made.map_err(|error| PrivateDirectoryError::Unusable(path.to_owned(), error))
}

/// Those that exist stay as they are.
fn make_traversable_parts(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_traversable_parts(parent)?;
    }
    match DirBuilder::new().mode(OWNER_ALONE).create(path) {
        Ok(()) => std::fs::set_permissions(path, Permissions::from_mode(TRAVERSABLE)),
        Err(_) if path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Refuses a directory that exists by the rule of [`make_readable`], and makes none.
pub fn refuse_shared(path: &Path) -> Result<(), PrivateDirectoryError> {
    let (_, status) = open(path).map_err(|error| PrivateDirectoryError::Unusable(path.to_owned(), error))?;
    check_writers(path, &status, false)
}

/// All is asked of one descriptor, so that what is closed is what was looked at.
fn close(path: &Path, own: OwnFiles) -> Result<(), PrivateDirectoryError> {
    let unusable = |error: io::Error| PrivateDirectoryError::Unusable(path.to_owned(), error);
    let (directory, status) = open(path).map_err(unusable)?;
    let mode = status.st_mode;
    let is_known = own.marks.iter().any(|mark| is_regular(&directory, mark));
    // This comes before the marks: where everybody may write, anybody can put them.
    check_writers(path, &status, is_known)?;
    if !is_known && let Some(name) = foreign(&directory, own).map_err(unusable)? {
        return Err(PrivateDirectoryError::Foreign(path.to_owned(), name));
    }
    if mode & GROUP_AND_OTHERS == 0 {
        return Ok(());
    }
    match fchmod(&directory, Mode::from_raw_mode(OWNER_ALONE)) {
        Ok(()) => Ok(()),
        Err(Errno::PERM | Errno::ACCESS) if mode & OTHERS == 0 => Ok(()),
        Err(Errno::PERM | Errno::ACCESS) => Err(PrivateDirectoryError::OpenToOthers(path.to_owned())),
        Err(errno) => Err(unusable(errno.into())),
    }
}

fn open(path: &Path) -> io::Result<(OwnedFd, Stat)> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat(CWD, path, flags, Mode::empty())?;
    let status = fstat(&directory)?;
    Ok((directory, status))
}

fn check_writers(path: &Path, status: &Stat, is_known: bool) -> Result<(), PrivateDirectoryError> {
    if status.st_mode & (STICKY | OTHERS_WRITE) != 0 {
        return Err(PrivateDirectoryError::Shared(path.to_owned(), is_known));
    }
    refuse_planted(path)
}

fn refuse_planted(path: &Path) -> Result<(), PrivateDirectoryError> {
    match planter(path) {
        Ok(None) => Ok(()),
        Ok(Some((part, owner))) => Err(PrivateDirectoryError::Planted(part, owner)),
        Err(error) => Err(PrivateDirectoryError::Unusable(path.to_owned(), error)),
    }
}

fn is_regular(directory: impl AsFd, name: &str) -> bool {
    statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|status| FileType::from_raw_mode(status.st_mode) == FileType::RegularFile)
}

/// The part of a path that somebody else may have made to have a program use it, and its owner: a
/// directory or a link that is neither ours nor root's and lies where everybody may make one. Every
/// part is looked at, because whoever owns one decides what is below it.
fn planter(path: &Path) -> io::Result<Option<(PathBuf, u32)>> {
    let us = rustix::process::geteuid().as_raw();
    let whole = std::path::absolute(path)?;
    let there = whole.ancestors().find(|part| part.exists()).unwrap_or(Path::new("/")).canonicalize()?;
    for part in whole.ancestors().chain(there.ancestors()) {
        let Some(parent) = part.parent() else { continue };
        let owner = match part.symlink_metadata() {
            // It is yet to be made.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            found => found?.uid(),
        };
        if owner != 0 && owner != us && parent.metadata()?.mode() & OTHERS_WRITE != 0 {
            return Ok(Some((part.to_owned(), owner)));
        }
    }
    Ok(None)
}

/// The first entry that neither a new file system nor the program puts there.
fn foreign(directory: impl AsFd, own: OwnFiles) -> io::Result<Option<PathBuf>> {
    let is_own = |name: &[u8]| {
        // A file that is being replaced has this name while it is written.
        let name = name.strip_suffix(b".new").unwrap_or(name);
        own.marks.iter().chain(own.others).any(|own| own.as_bytes() == name)
    };
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") && name != LOST_AND_FOUND && !is_own(name) {
            return Ok(Some(PathBuf::from(std::ffi::OsStr::from_bytes(name))));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use rustix::process::{Uid, geteuid};
    use rustix::thread::set_thread_res_uid;

    use super::*;

    const OWN: OwnFiles = OwnFiles { marks: &["identity"], others: &["lock"] };
    const NOBODY: u32 = 65_534;

    /// A directory of this mode with these files, within one that everybody may enter.
    fn setting(mode: u32, files: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let parent = tempfile::tempdir().expect("a directory");
        set_mode(parent.path(), 0o755);
        let path = parent.path().join("state");
        fs::create_dir(&path).expect("made");
        for file in files {
            fs::write(path.join(file), "").expect("written");
        }
        set_mode(&path, mode);
        (parent, path)
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("set");
    }

    fn mode(path: &Path) -> u32 {
        path.metadata().expect("there").mode() & 0o7777
    }

    /// Acts without the rights of root, where the tests have them.
    fn as_nobody<T: Send>(act: impl FnOnce() -> T + Send) -> T {
        if !geteuid().is_root() {
            return act();
        }
        let nobody = Uid::from_raw(NOBODY);
        let acting = || {
            set_thread_res_uid(nobody, nobody, nobody).expect("of this thread alone");
            act()
        };
        std::thread::scope(|scope| scope.spawn(acting).join().expect("done"))
    }

    #[test]
    fn what_is_made_is_closed_with_all_that_was_missing_above_it() {
        let parent = tempfile::tempdir().expect("a directory");
        let path = parent.path().join("a/b");
        make_private(&path, OWN).expect("made");
        assert_eq!((mode(&path), mode(&parent.path().join("a"))), (0o700, 0o700));
        make_private(&path, OWN).expect("it is there");
    }

    #[test]
    fn others_may_pass_what_is_made_for_them_and_what_was_missing_above_it() {
        let parent = tempfile::tempdir().expect("a directory");
        let path = parent.path().join("a/b.work");
        make_traversable_parents(&path).expect("made");
        assert!(!path.exists());
        assert_eq!(mode(&parent.path().join("a")), 0o711);
        let other = parent.path().join("c/d");
        for made in [&path, &other] {
            make_traversable(made).expect("made");
            assert_eq!((mode(made), mode(made.parent().expect("one"))), (0o711, 0o711));
        }
        set_mode(&path, 0o750);
        make_traversable(&path).expect("taken as it is");
        assert_eq!(mode(&path), 0o750);
        set_mode(&path, 0o777);
        make_traversable(&path).expect_err("refused");
    }

    #[test]
    fn what_others_could_replace_is_not_for_what_is_given_away() {
        let (parent, path) = setting(0o711, &[]);
        make_traversable(&path).expect("taken");
        set_mode(&path, 0o775);
        let refused = make_traversable(&path).expect_err("its group may write to it");
        assert!(matches!(&refused, PrivateDirectoryError::Replaceable(part) if *part == path), "{refused}");
        set_mode(&path, 0o711);
        if muster_testenv::lacks("root", geteuid().is_root()) {
            return;
        }
        for part in [path.as_path(), parent.path()] {
            std::os::unix::fs::chown(part, Some(NOBODY), None).expect("given away");
            assert!(make_traversable(&path).is_err(), "{} is another user's", part.display());
            std::os::unix::fs::chown(part, Some(0), None).expect("taken back");
        }
        make_traversable(&path).expect("taken");
    }

    #[test]
    fn what_is_empty_or_known_is_closed() {
        // A file of somebody else does not make the program's directory another one's.
        let known: [&[&str]; 6] =
            [&[], &["lost+found"], &["identity", "notes"], &["lock"], &["lock.new", "lost+found"], &["identity.new"]];
        for files in known {
            for before in [0o755, 0o775, 0o2770, 0o750, 0o700] {
                let (_parent, path) = setting(before, files);
                make_private(&path, OWN).expect("taken");
                assert_eq!(mode(&path), 0o700, "{files:?} {before:o}");
            }
        }
    }

    #[test]
    fn what_is_for_many_is_refused_and_left_as_it_was() {
        // Anybody can put a mark there.
        let files: [&[&str]; 3] = [&[], &["identity"], &["somebody's"]];
        for files in files {
            for before in [0o1777, 0o777, 0o1755, 0o2777] {
                let (_parent, path) = setting(before, files);
                for error in [make_private(&path, OWN), as_nobody(|| make_private(&path, OWN))] {
                    let text = error.expect_err("refused").to_string();
                    assert!(text.contains(path.join("muster").to_str().expect("text")), "{text}");
                }
                assert_eq!((mode(&path), fs::read_dir(&path).expect("readable").count()), (before, files.len()));
                make_private(&path.join("muster"), OWN).expect("the remedy");
            }
        }
    }

    #[test]
    fn what_holds_files_of_others_is_refused_and_left_as_it_was() {
        // A lock alone could be anybody's, and a directory is no mark.
        let (_parent, path) = setting(0o755, &[".bashrc", "lock", "lost+found"]);
        fs::create_dir(path.join("identity")).expect("made");
        let text = make_private(&path, OWN).expect_err("refused").to_string();
        assert!(text.contains(".bashrc") && text.contains(path.join("muster").to_str().expect("text")), "{text}");
        assert_eq!((mode(&path), fs::read_dir(&path).expect("readable").count()), (0o755, 4));
    }

    #[test]
    fn a_volume_that_is_given_by_its_group_is_taken_as_it_is() {
        if muster_testenv::lacks("root", geteuid().is_root()) {
            return;
        }
        for files in [&["lost+found"] as &[&str], &["identity"], &[]] {
            for before in [0o2775, 0o755, 0o2771] {
                let (_parent, path) = setting(before, files);
                let text = as_nobody(|| make_private(&path, OWN)).expect_err("refused").to_string();
                assert!(text.contains("o-rwx"), "{before:o}: {text}");
                assert_eq!(mode(&path), before);
            }
            for before in [0o2770, 0o770, 0o2750] {
                let (_parent, path) = setting(before, files);
                // A thread that is nobody still has the group of the process.
                as_nobody(|| make_private(&path, OWN)).expect("closed to all but the group");
                assert_eq!(mode(&path), before);
            }
        }
    }

    #[test]
    fn a_directory_that_others_may_enter_is_left_as_it_is_or_refused() {
        for before in [0o755, 0o2770, 0o700] {
            let (_parent, path) = setting(before, &["somebody's"]);
            make_readable(&path).expect("taken");
            assert_eq!(mode(&path), before);
        }
        for before in [0o1777, 0o777] {
            let (_parent, path) = setting(before, &[]);
            make_readable(&path).expect_err("refused");
            make_readable(&path.join("muster/work")).expect("the remedy");
            assert_eq!((mode(&path), mode(&path.join("muster"))), (before, 0o755));
        }
    }

    #[test]
    fn what_another_user_made_where_everybody_may_is_refused() {
        if muster_testenv::lacks("root", geteuid().is_root()) {
            return;
        }
        let (parent, path) = setting(0o700, &["identity"]);
        std::os::unix::fs::chown(&path, Some(NOBODY), None).expect("given");
        make_private(&path, OWN).expect("root may take what a user made at home");
        set_mode(parent.path(), 0o1777);
        let text = make_private(&path, OWN).expect_err("refused").to_string();
        assert!(text.contains(&NOBODY.to_string()), "{text}");
        as_nobody(|| make_private(&path, OWN)).expect("it is the user's own");
        // Whoever owns a part of the path decides what is below it.
        let link = parent.path().join("link");
        let elsewhere = tempfile::tempdir().expect("a directory");
        std::os::unix::fs::symlink(elsewhere.path(), &link).expect("made");
        std::os::unix::fs::lchown(&link, Some(NOBODY), None).expect("given");
        for below in [path.join("missing/state"), link.join("missing/state"), link.clone()] {
            for refused in [make_private(&below, OWN), make_readable(&below), refuse_shared(&below)] {
                let text = refused.expect_err("refused").to_string();
                assert!(text.contains(&NOBODY.to_string()) || below.parent() != Some(parent.path()), "{text}");
            }
        }
        assert!(!path.join("missing").exists(), "nothing is made there");
        assert!(!elsewhere.path().join("missing").exists());
    }
}
