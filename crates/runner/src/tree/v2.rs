//! Trees as cgroups of the second version.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::Survivors;
use super::cgroup::{children, make_dir, members, open_dir, open_path, read_counter, remove, remove_all, write};

/// The worker's cgroup; each attempt has one in it.
#[derive(Debug)]
pub(crate) struct Cgroup2 {
    parent: OwnedFd,
}

impl Cgroup2 {
    pub(super) fn new(parent: OwnedFd) -> Cgroup2 {
        Cgroup2 { parent }
    }

    /// A holder for trees in a cgroup of this one.
    pub(super) fn within(&self, name: &str) -> io::Result<Cgroup2> {
        make_dir(&self.parent, name)?;
        let parent = open_dir(&self.parent, name)?;
        super::find::enable_controllers(&parent);
        Ok(Cgroup2 { parent })
    }

    pub(super) fn parent(&self) -> BorrowedFd<'_> {
        self.parent.as_fd()
    }

    pub(super) fn make(&self, name: &str) -> io::Result<OwnedFd> {
        make_dir(&self.parent, name)?;
        open_path(&self.parent, name)
    }

    pub(super) fn freeze(&self, name: &str) -> io::Result<()> {
        write(&self.parent, &format!("{name}/cgroup.freeze"), "1")
    }

    /// The kernel reports it once every process in the cgroup and below it has stopped.
    pub(super) fn is_frozen(&self, name: &str) -> bool {
        read_counter(&self.parent, &format!("{name}/cgroup.events"), "frozen") == 1
    }

    pub(super) fn thaw(&self, name: &str) -> io::Result<()> {
        write(&self.parent, &format!("{name}/cgroup.freeze"), "0")
    }

    /// Kills a tree, frozen or not. The kernel also ends everything below, and what is being
    /// forked.
    pub(super) fn kill(&self, name: &str) -> io::Result<()> {
        write(&self.parent, &format!("{name}/cgroup.kill"), "1")
    }

    /// Removes an empty tree. The removal is the test: the kernel refuses it while a process is in
    /// the cgroup, and zombies do not count.
    pub(super) fn clear(&self, name: &str) -> Survivors {
        if remove(&self.parent, name).is_ok() {
            return Survivors::Nothing;
        }
        if read_counter(&self.parent, &format!("{name}/cgroup.events"), "populated") != 0 {
            return Survivors::Something;
        }
        match remove_all(&self.parent, name) {
            Ok(()) => Survivors::Nothing,
            Err(_) => Survivors::Something,
        }
    }

    pub(super) fn members(&self, name: &str) -> Vec<i32> {
        members(&self.parent, name)
    }

    pub(super) fn sweep(&self) -> Vec<i32> {
        let mut left = Vec::new();
        let Ok(dir) = open_dir(&self.parent, ".") else { return left };
        for name in children(dir) {
            // The caller tries again as long as something is left.
            let _ = self.kill(&name);
            if self.clear(&name) == Survivors::Something {
                left.extend(self.members(&name));
            }
        }
        left
    }
}
