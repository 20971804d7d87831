//! Containment: how a whole tree of processes is held, limited and ended, and how its end is known.
//!
//! The way is found by trying at start ([`find`]). Cgroups are directories named by their attempt
//! under a directory named by the worker. Nothing about them is remembered elsewhere, so a runner
//! finds what an earlier one left.
//!
//! The files are written directly. A cgroup library was considered: the well-kept ones model every
//! controller, build paths and parse on each call and bring D-Bus along. Here eight fixed files and
//! one `mkdirat` suffice, on a path taken thousands of times per second.

mod brake;
mod cgroup;
mod find;
mod freezer;
mod limits;
mod marks;
mod v2;

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use muster_agent::runner_protocol::Limits;
use muster_types::AttemptKey;

pub(crate) use brake::{Brake, BrakeSite};
pub(crate) use cgroup::CgroupId;
pub(crate) use find::{CgroupHome, Method, TreeRequest, admit_runner, find};
use freezer::Freezer;
use limits::Limiter;
use marks::Marks;
use v2::Cgroup2;

/// The group of the leased trees, which the guard freezes. It needs no further cgroup for each
/// launch.
const LEASED: &str = "leased";

/// The ways to hold a tree, best first.
#[derive(Debug)]
enum Holder {
    /// A cgroup of the second version, with `cgroup.kill`.
    Cgroup2(Cgroup2),
    /// The freezer of the first version.
    Freezer(Freezer),
    /// No cgroup: best effort.
    Marks(Marks),
}

/// A tree: its name, and where it is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tree {
    pub(crate) attempt: AttemptKey,
    /// Whether it lies in the group of leased trees, under the guard's brake.
    pub(crate) leased: bool,
}

/// What the machine lets us do with trees.
#[derive(Debug)]
pub(crate) struct Trees {
    holder: Holder,
    leased: Holder,
    limiter: Limiter,
    /// Whether freezing works here.
    freezes: bool,
}

/// What is left of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Survivors {
    /// Nothing; its cgroups are removed too.
    Nothing,
    /// Something runs, or does not end.
    Something,
}

/// What a new process of a tree needs.
#[derive(Debug, Default)]
pub(crate) struct TreeEntry {
    /// The cgroup to be cloned into.
    pub(crate) cgroup: Option<OwnedFd>,
    /// Files into which the child writes `0` before exec.
    pub(crate) joins: Vec<OwnedFd>,
    /// A variable for its environment.
    pub(crate) mark: Option<String>,
}

impl Trees {
    /// Makes the cgroups of an attempt, with its limits.
    pub(crate) fn make(&self, tree: &Tree, limits: &Limits) -> io::Result<TreeEntry> {
        let name = tree.attempt.to_string();
        let mut entry = TreeEntry::default();
        match self.holder(tree) {
            Holder::Cgroup2(holder) => {
                let cgroup = holder.make(&name)?;
                self.limiter.limit_v2(&cgroup, limits)?;
                entry.cgroup = Some(cgroup);
            }
            Holder::Freezer(holder) => entry.joins.push(holder.make(&name)?),
            Holder::Marks(holder) => entry.mark = Some(holder.mark(&name)),
        }
        self.limiter.make(&name, limits, &mut entry.joins)?;
        Ok(entry)
    }

    /// Asks the kernel to freeze the tree; false if it cannot be asked. [`Trees::is_frozen`] tells
    /// whether it worked.
    pub(crate) fn freeze(&self, tree: &Tree) -> bool {
        let name = tree.attempt.to_string();
        self.freezes
            && match self.holder(tree) {
                Holder::Cgroup2(holder) => holder.freeze(&name).is_ok(),
                Holder::Freezer(holder) => holder.freeze(&name).is_ok(),
                Holder::Marks(_) => false,
            }
    }

    /// Whether nothing in the tree executes.
    pub(crate) fn is_frozen(&self, tree: &Tree) -> bool {
        let name = tree.attempt.to_string();
        match self.holder(tree) {
            Holder::Cgroup2(holder) => holder.is_frozen(&name),
            Holder::Freezer(holder) => holder.is_frozen(&name),
            Holder::Marks(_) => false,
        }
    }

    /// Lets a frozen tree go on; false if the kernel cannot be told.
    pub(crate) fn thaw(&self, tree: &Tree) -> bool {
        let name = tree.attempt.to_string();
        match self.holder(tree) {
            Holder::Cgroup2(holder) => holder.thaw(&name).is_ok(),
            Holder::Freezer(holder) => holder.thaw(&name).is_ok(),
            Holder::Marks(_) => false,
        }
    }

    /// Begins a pass of the main loop: what was seen of processes in the last one is stale.
    pub(crate) fn begin_pass(&self) {
        match &self.holder {
            Holder::Cgroup2(_) | Holder::Freezer(_) => {}
            Holder::Marks(holder) => holder.begin_pass(),
        }
    }

    /// Kills everything in the tree, frozen or not; a frozen process ends when it is thawed, before
    /// it executes anything. Returns false if the kernel was not told yet, and it must be called
    /// again in a later pass; [`Trees::clear`] tells whether everything is gone.
    pub(crate) fn kill(&self, tree: &Tree, leader: Option<i32>) -> bool {
        let name = tree.attempt.to_string();
        // If a write fails, the caller tries again until the tree is clear.
        let stated = match self.holder(tree) {
            Holder::Cgroup2(holder) => holder.kill(&name),
            Holder::Freezer(holder) => holder.kill(&name),
            Holder::Marks(holder) => return holder.kill(&name, leader),
        };
        // Without its directory nothing of the tree exists, and a process that is still to be
        // started is cancelled.
        stated.map_or_else(|error| error.kind() == io::ErrorKind::NotFound, |()| true)
    }

    /// Removes the tree's cgroups if nothing is left in it.
    pub(crate) fn clear(&self, tree: &Tree, leader: Option<i32>) -> Survivors {
        let name = tree.attempt.to_string();
        let rest = match self.holder(tree) {
            Holder::Cgroup2(holder) => holder.clear(&name),
            Holder::Freezer(holder) => holder.clear(&name),
            Holder::Marks(holder) => holder.look(&name, leader),
        };
        if rest == Survivors::Nothing {
            self.limiter.remove(&name);
        }
        rest
    }

    /// Process ids in the tree, as the runner sees them; empty if unknown.
    pub(crate) fn members(&self, tree: &Tree, leader: Option<i32>) -> Vec<i32> {
        let name = tree.attempt.to_string();
        match self.holder(tree) {
            Holder::Cgroup2(holder) => holder.members(&name),
            Holder::Freezer(holder) => holder.members(&name),
            Holder::Marks(holder) => holder.members(&name, leader),
        }
    }

    /// How often the kernel has killed a process of the tree for exceeding the tree's memory.
    pub(crate) fn out_of_memory_kills(&self, tree: &Tree) -> u64 {
        self.limiter.out_of_memory_kills(&tree.attempt.to_string(), self.v2_parent(tree))
    }

    /// Whether memory limits must be watched, because the kernel ends one process of the tree and
    /// reports nothing.
    pub(crate) fn must_watch_memory(&self) -> bool {
        self.limiter.must_watch_memory()
    }

    /// Ends everything that an earlier runner of this worker left behind. Returns the processes
    /// that remain.
    pub(crate) fn sweep(&self) -> Vec<i32> {
        let mut left = match &self.holder {
            Holder::Cgroup2(holder) => holder.sweep(),
            Holder::Freezer(holder) => holder.sweep(),
            Holder::Marks(holder) => holder.sweep(),
        };
        left.extend(self.limiter.sweep());
        left
    }

    /// Makes the group of the leased trees anew. Only after a sweep, so that it is empty: a guard
    /// that still holds the group of an earlier runner holds nothing.
    pub(crate) fn make_leased(&mut self) -> io::Result<()> {
        self.leased = match &self.holder {
            Holder::Cgroup2(holder) => Holder::Cgroup2(holder.within(LEASED)?),
            Holder::Freezer(holder) => Holder::Freezer(holder.within(LEASED)?),
            Holder::Marks(holder) => Holder::Marks(holder.within(LEASED, crate::clock::now().time.0)),
        };
        Ok(())
    }

    /// The brake on all leased trees.
    pub(crate) fn brake(&self) -> io::Result<BrakeSite> {
        Ok(match &self.leased {
            Holder::Cgroup2(holder) => BrakeSite::Cgroup2(holder.parent().try_clone_to_owned()?),
            Holder::Freezer(holder) => BrakeSite::Freezer(holder.parent().try_clone_to_owned()?),
            Holder::Marks(holder) => BrakeSite::Marks(holder.mark("")),
        })
    }

    /// Removes what [`Trees::make_leased`] made, if nothing is left in it.
    pub(crate) fn remove_leased(&self) {
        match &self.holder {
            Holder::Cgroup2(holder) => drop(holder.clear(LEASED)),
            Holder::Freezer(holder) => drop(holder.clear(LEASED)),
            Holder::Marks(_) => {}
        }
    }

    /// The cgroup that holds all trees, if one does.
    pub(crate) fn home(&self) -> Option<CgroupId> {
        let inode = |parent| rustix::fs::fstat(parent).ok().map(|status| status.st_ino);
        match &self.holder {
            Holder::Cgroup2(holder) => inode(holder.parent()).map(CgroupId::V2),
            Holder::Freezer(holder) => inode(holder.parent()).map(CgroupId::Freezer),
            Holder::Marks(_) => None,
        }
    }

    fn holder(&self, tree: &Tree) -> &Holder {
        if tree.leased { &self.leased } else { &self.holder }
    }

    fn v2_parent(&self, tree: &Tree) -> Option<BorrowedFd<'_>> {
        match self.holder(tree) {
            Holder::Cgroup2(holder) => Some(holder.parent()),
            Holder::Freezer(_) | Holder::Marks(_) => None,
        }
    }
}
