//! Files that are replaced as a whole, and files in directories in which others write. The new
//! content is first written to a file beside the old one, with `.new` added to its name; a leftover
//! of that name is removed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags, fstatfs, openat2};
use rustix::io::Errno;

/// Replaces a file: a reader sees all of the old content or all of the new. A crash of the machine
/// may leave the old file, the new file or an empty one.
pub fn replace(path: &Path, content: impl AsRef<[u8]>) -> io::Result<()> {
    let partial = beside(path);
    create_fresh(&partial, 0o666)?.write_all(content.as_ref())?;
    fs::rename(partial, path)
}

/// Like [`replace`], but durable: after a crash the file is the old or the new one, and once this
/// has returned it is the new one.
pub fn replace_synced(path: &Path, content: impl AsRef<[u8]>) -> io::Result<()> {
    synced(path, content.as_ref(), 0o666)
}

/// Like [`replace_synced`], but the file is readable by its owner alone (0600), from its first
/// byte.
pub fn replace_private(path: &Path, content: impl AsRef<[u8]>) -> io::Result<()> {
    synced(path, content.as_ref(), 0o600)
}

fn synced(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let partial = beside(path);
    let mut file = create_fresh(&partial, mode)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(partial, path)?;
    sync_name(path)
}

/// Makes the name of a file durable by syncing the directory that holds it.
pub fn sync_name(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

/// Makes a file in a directory in which others write, for reading and writing. What has the name is
/// removed and not written to: it may be a link.
///
/// # Errors
/// Of the system calls; [`io::ErrorKind::AlreadyExists`] if another takes the name meanwhile.
pub fn create_fresh(path: &Path, mode: u32) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(path),
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

/// Opens a file in a directory in which others write: no link is followed, and what is no regular
/// file is refused at once, although to open a pipe would wait for its other end.
///
/// # Errors
/// Of the system calls; `ELOOP` for a link, and [`io::ErrorKind::InvalidInput`] for what is no
/// regular file.
pub fn open_regular(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    open_with(path, options, OFlags::NOFOLLOW)
}

/// Opens a regular file for reading by a path that somebody names, who may link it to what they may
/// read. Other than by [`open_regular`], links are followed, but not those below `/proc`, which
/// lead to what a process has open, whatever leads there otherwise. The files of `/proc` are about
/// processes, this one among them, and are not opened either.
///
/// # Errors
/// Those of [`open_regular`], with `ELOOP` for a link below `/proc`.
pub fn open_named(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS) {
        Ok(opened) => regular(File::from(opened))?,
        // An old kernel, or a sandbox.
        Err(Errno::NOSYS | Errno::PERM) => open_with(path, OpenOptions::new().read(true), OFlags::empty())?,
        Err(errno) => return Err(errno.into()),
    };
    if fstatfs(&file)?.f_type == PROC_SUPER_MAGIC {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a file of /proc"));
    }
    Ok(file)
}

fn open_with(path: &Path, options: &mut OpenOptions, more: OFlags) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | more;
    regular(options.custom_flags(flags.bits().cast_signed()).open(path)?)
}

fn regular(file: File) -> io::Result<File> {
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    Ok(file)
}

/// The text of a small file that is opened by [`open_regular`]: at most its first 4 KiB.
///
/// # Errors
/// Those of [`open_regular`], and [`io::ErrorKind::InvalidData`] for what is not UTF-8.
pub fn read_small(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open_regular(path, OpenOptions::new().read(true))?.take(4096).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_file_is_followed_through_links_but_not_through_those_of_processes() {
        let directory = tempfile::tempdir().expect("a folder");
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        fs::write(&file, "x").expect("written");
        std::os::unix::fs::symlink(&file, &link).expect("linked");
        open_named(&link).expect("a link of a file system");
        let held = File::open(&file).expect("opened");
        let magic = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&held));
        let root = format!("/proc/self/root{}", file.display());
        for refused in [magic.as_str(), &root, "/proc/self/environ"] {
            open_named(Path::new(refused)).expect_err(refused);
        }
        fs::remove_file(&link).expect("removed");
        std::os::unix::fs::symlink(&magic, &link).expect("linked");
        open_named(&link).expect_err("a link to a link of a process");
    }

    #[test]
    fn a_private_file_is_its_owners_alone() {
        let directory = tempfile::tempdir().expect("a folder");
        let path = directory.path().join("secret");
        fs::write(&path, "old, and open to all").expect("made");
        replace_private(&path, "new").expect("replaced");
        assert_eq!(fs::read_to_string(&path).expect("read"), "new");
        let mode = std::os::unix::fs::MetadataExt::mode(&path.metadata().expect("it is there"));
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("epoch.txt");
        replace_synced(&path, "old").expect("made");
        assert_eq!(fs::read(&path).expect("readable"), b"old");
        fs::write(dir.path().join("epoch.txt.new"), "a longer one, cut sho").expect("written");
        replace(&path, "new").expect("replaced");
        assert_eq!(fs::read(&path).expect("readable"), b"new");
        assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 1);
    }
    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name);
        fs::write(path("file"), "text").expect("written");
        assert_eq!(read_small(&path("file")).expect("readable"), "text");
        std::os::unix::fs::symlink(path("file"), path("link")).expect("made");
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, path("pipe"), fifo, 0o600.into(), 0).expect("made");
        for name in ["link", "pipe", "."] {
            for (read, write) in [(true, false), (false, true), (true, true)] {
                let opened = open_regular(&path(name), OpenOptions::new().read(read).write(write));
                assert!(opened.is_err(), "{name}");
            }
        }
    }

    #[test]
    fn a_link_in_the_place_of_the_new_file_is_not_followed() {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, other) = (dir.path().join("file"), dir.path().join("other"));
        fs::write(&other, "other").expect("written");
        for replace in [|path: &Path| replace(path, "new"), |path: &Path| replace_synced(path, "new")] {
            std::os::unix::fs::symlink(&other, dir.path().join("file.new")).expect("made");
            replace(&path).expect("replaced");
            assert_eq!(fs::read(&path).expect("readable"), b"new");
            assert_eq!(fs::read(&other).expect("readable"), b"other");
        }
    }
}
