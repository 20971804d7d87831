//! Trees as cgroups of the first version's freezer. To end one, it is frozen, killed and thawed
//! until it is empty.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::process::{Pid, Signal, kill_process};

use super::Survivors;
use super::cgroup::{children, make_dir, members, open_dir, open_for_write, read, remove_all, write};

/// Readings of the state while a tree freezes. A tree that does not freeze (one of its processes
/// waits in the kernel) is killed as it is, and again later.
const FREEZE_READINGS: u32 = 50;

/// The worker's cgroup in the freezer's hierarchy; each attempt has one in it.
#[derive(Debug)]
pub(crate) struct Freezer {
    parent: OwnedFd,
}

impl Freezer {
    pub(super) fn new(parent: OwnedFd) -> Freezer {
        Freezer { parent }
    }

    /// A freezer for trees in a cgroup of this one.
    pub(super) fn within(&self, name: &str) -> io::Result<Freezer> {
        make_dir(&self.parent, name)?;
        Ok(Freezer { parent: open_dir(&self.parent, name)? })
    }

    pub(super) fn parent(&self) -> BorrowedFd<'_> {
        self.parent.as_fd()
    }

    /// Makes a tree's cgroup. Returns the file through which a process enters: `tasks` and not
    /// `cgroup.procs`, since a process that moves its only thread by itself does not wait for the
    /// lock that stops all forks of the machine.
    pub(super) fn make(&self, name: &str) -> io::Result<OwnedFd> {
        make_dir(&self.parent, name)?;
        open_for_write(&self.parent, &format!("{name}/tasks"))
    }

    /// Kills a tree. While it is frozen nothing in it forks, so the list of its processes is whole.
    /// A killed process ends when it is thawed, before it executes anything.
    pub(super) fn kill(&self, name: &str) -> io::Result<()> {
        self.freeze(name)?;
        for _ in 0..FREEZE_READINGS {
            if self.is_frozen(name) {
                break;
            }
            std::thread::yield_now();
        }
        for pid in members(&self.parent, name) {
            if let Some(pid) = Pid::from_raw(pid) {
                // It may be gone already.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        self.thaw(name)
    }

    pub(super) fn freeze(&self, name: &str) -> io::Result<()> {
        write(&self.parent, &format!("{name}/freezer.state"), "FROZEN")
    }

    /// The kernel checks anew with each reading.
    pub(super) fn is_frozen(&self, name: &str) -> bool {
        read(&self.parent, &format!("{name}/freezer.state")).is_ok_and(|state| state.trim() == "FROZEN")
    }

    pub(super) fn thaw(&self, name: &str) -> io::Result<()> {
        write(&self.parent, &format!("{name}/freezer.state"), "THAWED")
    }

    pub(super) fn clear(&self, name: &str) -> Survivors {
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
            // A frozen process below does not end before it is thawed there.
            if let Ok(parent) = open_dir(&self.parent, &name) {
                left.extend(Freezer { parent }.sweep());
            }
            // The caller tries again as long as something is left.
            let _ = self.kill(&name);
            if self.clear(&name) == Survivors::Something {
                left.extend(self.members(&name));
            }
        }
        left
    }
}
