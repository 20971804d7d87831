//! The brake on all leased trees at once, as the guard holds it. It holds one directory open and
//! acts on that alone: once another runner has made the group anew, the guard of the earlier runner
//! holds nothing.

use std::os::fd::OwnedFd;

use super::cgroup::{children, open_dir};
use super::freezer::Freezer;
use super::marks::Marks;
use super::v2::Cgroup2;

/// The place of the brake.
#[derive(Debug)]
pub(crate) enum BrakeSite {
    /// A cgroup of the second version.
    Cgroup2(OwnedFd),
    /// A cgroup of the first version's freezer.
    Freezer(OwnedFd),
    /// The beginning of the marks of all leased trees.
    Marks(String),
}

/// The whole group, as a name below itself.
const ITSELF: &str = ".";

/// The brake.
#[derive(Debug)]
pub(crate) enum Brake {
    /// With `cgroup.freeze` and `cgroup.kill`.
    Cgroup2(Cgroup2),
    /// With `freezer.state`.
    Freezer(Freezer),
    /// Best effort: nothing can be frozen; processes that carry the mark are killed.
    Marks(Marks),
}

impl Brake {
    pub(crate) fn new(site: BrakeSite) -> Brake {
        match site {
            BrakeSite::Cgroup2(group) => Brake::Cgroup2(Cgroup2::new(group)),
            BrakeSite::Freezer(group) => Brake::Freezer(Freezer::new(group)),
            BrakeSite::Marks(prefix) => Brake::Marks(Marks::with_prefix(&prefix)),
        }
    }

    /// Lets everything go on that no other brake holds; false if the kernel cannot be told.
    pub(crate) fn open(&self) -> bool {
        match self {
            Brake::Cgroup2(group) => group.thaw(ITSELF).is_ok(),
            Brake::Freezer(group) => group.thaw(ITSELF).is_ok(),
            Brake::Marks(_) => true,
        }
    }

    /// Has the kernel freeze everything; where there is no freezer, kills everything.
    pub(crate) fn close(&self) -> bool {
        match self {
            Brake::Cgroup2(group) => group.freeze(ITSELF).is_ok(),
            Brake::Freezer(group) => group.freeze(ITSELF).is_ok(),
            Brake::Marks(marks) => {
                marks.sweep();
                true
            }
        }
    }

    /// Whether nothing executes.
    pub(crate) fn is_frozen(&self) -> bool {
        match self {
            Brake::Cgroup2(group) => group.is_frozen(ITSELF),
            Brake::Freezer(group) => group.is_frozen(ITSELF),
            Brake::Marks(_) => true,
        }
    }

    /// Kills each tree that is not frozen.
    pub(crate) fn kill_unfrozen(&self) {
        match self {
            // This is repeated for as long as a tree is not frozen. In the first version a killed
            // process ends when the brake is opened; if it leaves the kernel before that, it is
            // frozen at once.
            Brake::Cgroup2(group) => {
                let names = names(group.parent());
                names.iter().filter(|name| !group.is_frozen(name)).for_each(|name| drop(group.kill(name)));
            }
            Brake::Freezer(group) => {
                let names = names(group.parent());
                names.iter().filter(|name| !group.is_frozen(name)).for_each(|name| drop(group.kill(name)));
            }
            Brake::Marks(marks) => drop(marks.sweep()),
        }
    }

    /// Kills everything, frozen or not.
    pub(crate) fn kill_all(&self) {
        match self {
            Brake::Cgroup2(group) => drop(group.kill(ITSELF)),
            Brake::Freezer(group) => {
                group.sweep();
                let _ = group.kill(ITSELF);
            }
            Brake::Marks(marks) => drop(marks.sweep()),
        }
    }

    /// Whether nothing is left in it.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Brake::Cgroup2(group) => group.members(ITSELF).is_empty(),
            Brake::Freezer(group) => group.members(ITSELF).is_empty(),
            Brake::Marks(marks) => marks.sweep().is_empty(),
        }
    }
}

fn names(group: impl std::os::fd::AsFd) -> Vec<String> {
    open_dir(group, ".").map(children).unwrap_or_default()
}
