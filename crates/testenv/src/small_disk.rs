//! A small file system of its own.

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::{fs, io};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;

use crate::lacks;

/// A tmpfs, unmounted when it is dropped.
#[derive(Debug)]
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// Mounts one of a size in KiB. `None` if this machine cannot mount, and the feature `mount` is
    /// named as missing.
    ///
    /// # Panics
    ///
    /// If the machine cannot mount and the feature is not named.
    pub fn mount(kib: u64) -> Option<SmallDisk> {
        let directory = tempfile::tempdir().expect("a temporary folder can be made");
        let options = CString::new(format!("size={kib}k,mode=0700")).expect("no zero byte");
        let mounted = mount("tmpfs", directory.path(), "tmpfs", MountFlags::empty(), options.as_c_str());
        (!lacks("mount", mounted.is_ok())).then_some(SmallDisk(directory))
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills the disk up to this many bytes, in place of an earlier filling. A process that writes
    /// at the same time may find less room.
    pub fn fill(&self, left: usize) {
        let filler = self.filler();
        let space = rustix::fs::statvfs(self.path()).expect("it is mounted");
        let taken = fs::metadata(&filler).map_or(0, |file| file.len());
        let length = usize::try_from(space.f_bavail * space.f_frsize + taken).expect("it is small");
        let written = fs::write(filler, vec![0; length.saturating_sub(left)]);
        let full = |error: io::Error| error.kind() == io::ErrorKind::StorageFull;
        assert!(written.map_or_else(full, |()| true), "the disk cannot be filled");
    }

    /// Removes the filling.
    pub fn make_room(&self) {
        fs::remove_file(self.filler()).expect("it was filled");
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A folder that stays mounted is left to the machine's own cleaning up.
        let _ = unmount(self.path(), UnmountFlags::DETACH);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_full_until_room_is_made() {
        let Some(disk) = SmallDisk::mount(256) else { return };
        let file = disk.path().join("file");
        disk.fill(0);
        fs::write(&file, [1; 64]).expect_err("it is full");
        disk.make_room();
        fs::write(&file, [1; 64]).expect("there is room");
        let path = disk.path().to_owned();
        drop(disk);
        assert!(!path.exists(), "nothing is left of it");
    }
}
