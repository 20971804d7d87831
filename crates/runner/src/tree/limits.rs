//! Limits of memory, processor time and processes. Each is enforced by the second version's
//! controller, else by the first version's, else not at all.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use muster_agent::runner_protocol::Limits;
use muster_types::Capabilities;
use rustix::process::{Pid, Signal, kill_process};

use super::cgroup::{children, make_dir, members, open_dir, open_for_write, read_counter, remove_all, write};

/// Where one kind of limit is enforced.
#[derive(Debug, Default)]
pub(super) enum LimitSource {
    /// Nowhere.
    #[default]
    Absent,
    /// In the tree's own cgroup.
    V2,
    /// In a hierarchy of the first version: the worker's cgroup there.
    V1(OwnedFd),
}

/// The three kinds.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    pub(super) memory: LimitSource,
    pub(super) cpu: LimitSource,
    pub(super) pids: LimitSource,
}

/// The kernel's usual period of processor time, in microseconds.
const CPU_PERIOD: u64 = 100_000;

/// The shortest quota that the kernel takes, in microseconds.
const CPU_QUOTA_MIN: u64 = 1_000;

fn cpu_quota(millis: u64) -> u64 {
    millis.saturating_mul(CPU_PERIOD / 1000).max(CPU_QUOTA_MIN)
}

impl Limiter {
    pub(super) fn describe(&self, capabilities: &mut Capabilities) {
        capabilities.memory_limit = !matches!(self.memory, LimitSource::Absent);
        capabilities.cpu_limit = !matches!(self.cpu, LimitSource::Absent);
        capabilities.pids_limit = !matches!(self.pids, LimitSource::Absent);
    }

    /// Limits a tree's cgroup of the second version.
    pub(super) fn limit_v2(&self, tree: impl AsFd, limits: &Limits) -> io::Result<()> {
        if let (LimitSource::V2, Some(bytes)) = (&self.memory, limits.memory) {
            write(&tree, "memory.max", &bytes.to_string())?;
            // Without swap accounting the file is absent, and there is nothing to limit.
            let _ = write(&tree, "memory.swap.max", "0");
            write(&tree, "memory.oom.group", "1")?;
        }
        if let (LimitSource::V2, Some(millis)) = (&self.cpu, limits.cpu_millis) {
            write(&tree, "cpu.max", &format!("{} {CPU_PERIOD}", cpu_quota(millis)))?;
        }
        if let (LimitSource::V2, Some(pids)) = (&self.pids, limits.pids) {
            write(&tree, "pids.max", &pids.to_string())?;
        }
        Ok(())
    }

    /// Makes and limits the cgroups of the first version. Adds the files through which a process
    /// enters to `joins`.
    pub(super) fn make(&self, name: &str, limits: &Limits, joins: &mut Vec<OwnedFd>) -> io::Result<()> {
        if let (LimitSource::V1(parent), Some(bytes)) = (&self.memory, limits.memory) {
            make_dir(parent, name)?;
            write(parent, &format!("{name}/memory.limit_in_bytes"), &bytes.to_string())?;
            // Without swap accounting the file is absent, and there is nothing to limit.
            let _ = write(parent, &format!("{name}/memory.memsw.limit_in_bytes"), &bytes.to_string());
            joins.push(entry(parent, name)?);
        }
        if let (LimitSource::V1(parent), Some(millis)) = (&self.cpu, limits.cpu_millis) {
            make_dir(parent, name)?;
            write(parent, &format!("{name}/cpu.cfs_quota_us"), &cpu_quota(millis).to_string())?;
            joins.push(entry(parent, name)?);
        }
        if let (LimitSource::V1(parent), Some(pids)) = (&self.pids, limits.pids) {
            make_dir(parent, name)?;
            write(parent, &format!("{name}/pids.max"), &pids.to_string())?;
            joins.push(entry(parent, name)?);
        }
        Ok(())
    }

    /// Removes the cgroups of the first version; those still in use stay until the next sweep.
    pub(super) fn remove(&self, name: &str) {
        for parent in self.v1_parents() {
            let _ = remove_all(parent, name);
        }
    }

    pub(super) fn out_of_memory_kills(&self, name: &str, tree_parent: Option<BorrowedFd<'_>>) -> u64 {
        match (&self.memory, tree_parent) {
            (LimitSource::V1(parent), _) => read_counter(parent, &format!("{name}/memory.oom_control"), "oom_kill"),
            (LimitSource::V2, Some(parent)) => read_counter(parent, &format!("{name}/memory.events"), "oom_kill"),
            (LimitSource::V2, None) | (LimitSource::Absent, _) => 0,
        }
    }

    /// Whether the runner must look for memory kills: the first version has no `memory.oom.group`.
    pub(super) fn must_watch_memory(&self) -> bool {
        matches!(self.memory, LimitSource::V1(_))
    }

    /// Ends and removes what is left in the cgroups of the first version.
    pub(super) fn sweep(&self) -> Vec<i32> {
        let mut left = Vec::new();
        for parent in self.v1_parents() {
            let Ok(dir) = open_dir(parent, ".") else { continue };
            for name in children(dir) {
                let found = members(parent, &name);
                for pid in found.iter().copied().filter_map(Pid::from_raw) {
                    // It may be gone already.
                    let _ = kill_process(pid, Signal::KILL);
                }
                if remove_all(parent, &name).is_err() {
                    left.extend(found);
                }
            }
        }
        left
    }

    fn v1_parents(&self) -> impl Iterator<Item = &OwnedFd> {
        [&self.memory, &self.cpu, &self.pids].into_iter().filter_map(|place| match place {
            LimitSource::V1(parent) => Some(parent),
            LimitSource::V2 | LimitSource::Absent => None,
        })
    }
}

/// See [`super::freezer::Freezer::make`] for why it is `tasks`.
fn entry(parent: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    open_for_write(parent, &format!("{name}/tasks"))
}
