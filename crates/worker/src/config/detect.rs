//! What this machine has.

use std::path::Path;
use std::{fs, io};

use muster_os::proc;

/// Memory that is left to the system when memory is detected.
const MEMORY_RESERVE: u64 = 1 << 30;
/// Least memory that is offered when memory is detected.
const MEMORY_MIN: u64 = 1 << 30;

/// Cores that this process may use, by affinity and CPU quota.
pub(super) fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX))
}

/// Memory to offer: that of the machine, or the limit of the cgroup if that is less, minus 1 GiB;
/// at least 1 GiB.
pub(super) fn memory() -> u64 {
    let machine = proc::memory_total().unwrap_or(MEMORY_RESERVE + MEMORY_MIN);
    let all = cgroup_limit().map_or(machine, |limit| limit.min(machine));
    all.saturating_sub(MEMORY_RESERVE).max(MEMORY_MIN)
}

/// The host's name.
pub(super) fn hostname() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy();
    if name.is_empty() { "localhost".to_owned() } else { name.into_owned() }
}

/// The least limit between this process's cgroup and the root, in version 2 or 1.
fn cgroup_limit() -> Option<u64> {
    let mut least = None;
    for place in proc::cgroups("self") {
        let (root, file) = match place.controllers.as_str() {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if place.has("memory") => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        for ancestor in Path::new(place.path.trim_start_matches('/')).ancestors() {
            if let Ok(limit) = read_number(&Path::new(root).join(ancestor).join(file)) {
                least = Some(least.map_or(limit, |known: u64| known.min(limit)));
            }
        }
    }
    least
}

fn read_number(path: &Path) -> io::Result<u64> {
    fs::read_to_string(path)?.trim().parse().map_err(|_| io::ErrorKind::InvalidData.into())
}
