//! A directory on a local disk that is readable by its owner only and held by one process.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use muster_os::{LockError, LockFile, OwnFiles, make_private};

use crate::OpenError;

/// A directory held by this process, until it is dropped or the process ends in any way.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    _lock: LockFile,
}

impl Directory {
    /// Makes the directory if there is none, checks what it is on, closes it to others, and takes
    /// its lock. `own` is what the caller keeps there beside the lock.
    pub(crate) fn take(path: &Path, own: OwnFiles) -> Result<Directory, OpenError> {
        // What is refused is left as it was.
        if path.exists() {
            check_file_system(path)?;
        }
        // The files of the database are made with the umask of the process, so the mode of the
        // directory keeps others out.
        make_private(path, own).map_err(|source| OpenError::NotTaken { path: path.to_owned(), source })?;
        check_file_system(path)?;
        Ok(Directory { path: path.to_owned(), _lock: lock(path)? })
    }

    /// A path within the directory.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The path of the directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn check_file_system(path: &Path) -> Result<(), OpenError> {
    match network_file_system(path) {
        Ok(None) => Ok(()),
        Ok(Some(kind)) => Err(OpenError::NetworkFileSystem { path: path.to_owned(), kind }),
        Err(source) => Err(OpenError::Directory { path: path.to_owned(), source }),
    }
}

/// The name of the lock in each of the directories. Other programs have files of this name too, so
/// it is no mark.
pub(crate) const LOCK: &str = "lock";

fn lock(directory: &Path) -> Result<LockFile, OpenError> {
    let fail = |source| OpenError::Directory { path: directory.to_owned(), source };
    let mut lock = LockFile::take(&directory.join(LOCK)).map_err(|error| match error {
        LockError::Held(note) => OpenError::Locked { path: directory.to_owned(), pid: note.trim().parse().ok() },
        LockError::File(source) => fail(source),
    })?;
    lock.note(&std::process::id().to_string()).map_err(fail)?;
    Ok(lock)
}

/// Makes every file below a directory readable by its owner only.
pub(crate) fn close_to_others(directory: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            close_to_others(&entry.path())?;
        } else {
            std::fs::set_permissions(entry.path(), Permissions::from_mode(0o600))?;
        }
    }
    Ok(())
}

/// Numbers of network and cluster file systems, from the kernel's `magic.h` and their own sources.
const NETWORK: [(u32, &str); 13] = [
    (0x0000_6969, "nfs"),
    (0x0000_517b, "smb"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb2"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "ceph"),
    (0x5346_414f, "afs"),
    (0x6b41_4653, "afs"),
    (0x7375_7245, "coda"),
    (0x0bd0_0bd0, "lustre"),
    (0x4750_4653, "gpfs"),
    (0x7461_636f, "ocfs2"),
    (0x0116_1970, "gfs2"),
];

/// All FUSE file systems have one number; the mount table tells them apart.
const FUSE: u32 = 0x6573_5546;
const NETWORK_FUSE: [&str; 11] = [
    "fuse.sshfs",
    "fuse.glusterfs",
    "fuse.ceph",
    "fuse.ceph-fuse",
    "fuse.s3fs",
    "fuse.rclone",
    "fuse.gcsfuse",
    "fuse.juicefs",
    "fuse.davfs2",
    "fuse.curlftpfs",
    "fuse.moosefs",
];

fn network_file_system(path: &Path) -> io::Result<Option<&'static str>> {
    // The kernel's numbers have 32 bits, whatever the width of the field.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "32 bits in a wider field")]
    let magic = rustix::fs::statfs(path)?.f_type as u32;
    if magic == FUSE {
        let device = path.metadata()?.dev();
        return Ok(network_fuse(device, &std::fs::read_to_string("/proc/self/mountinfo")?));
    }
    Ok(network(magic))
}

fn network(magic: u32) -> Option<&'static str> {
    NETWORK.iter().find(|(number, _)| *number == magic).map(|(_, name)| *name)
}

/// In a line `36 35 0:32 / /mnt rw - fuse.sshfs host: rw`, the third word is the device, and the
/// first word after the dash is the kind.
fn network_fuse(device: u64, mounts: &str) -> Option<&'static str> {
    let device = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let line = mounts.lines().find(|line| line.split(' ').nth(2) == Some(&device))?;
    let kind = line.split_once(" - ")?.1.split(' ').next()?;
    NETWORK_FUSE.into_iter().find(|known| *known == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: OwnFiles = OwnFiles { marks: &[], others: &[LOCK] };

    #[test]
    fn network_file_systems_are_known_by_their_numbers() {
        assert_eq!(network(0x6969), Some("nfs"));
        assert_eq!(network(0xff53_4d42), Some("cifs"));
        assert_eq!(network(0xef53), None, "ext4");
    }

    #[test]
    fn sshfs_is_told_from_a_local_fuse() {
        let mounts =
            "36 35 0:32 / /a rw,nosuid - fuse.sshfs host:/ rw\n37 35 0:33 / /b rw shared:1 - fuse.ntfs-3g x rw\n";
        assert_eq!(network_fuse(rustix::fs::makedev(0, 32), mounts), Some("fuse.sshfs"));
        assert_eq!(network_fuse(rustix::fs::makedev(0, 33), mounts), None);
    }

    #[test]
    fn a_second_holder_is_told_who_the_first_is() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("store");
        let held = Directory::take(&path, OWN).unwrap();
        let error = Directory::take(&path, OWN).unwrap_err();
        assert!(matches!(error, OpenError::Locked { pid: Some(pid), .. } if pid == std::process::id()), "{error}");
        drop(held);
        Directory::take(&path, OWN).unwrap();
    }

    #[test]
    fn the_directory_is_for_its_owner_alone() {
        let parent = tempfile::tempdir().unwrap();
        std::fs::set_permissions(parent.path(), Permissions::from_mode(0o755)).unwrap();
        let _held = Directory::take(parent.path(), OWN).unwrap();
        assert_eq!(parent.path().metadata().unwrap().mode() & 0o777, 0o700);
        assert_eq!(parent.path().join("lock").metadata().unwrap().mode() & 0o777, 0o600);
    }
}
