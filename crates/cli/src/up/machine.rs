//! The resources of this machine.

use std::fs;

/// Cores that this process may use.
pub(crate) fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX))
}

/// Memory in bytes: that of the machine, or the limit of our container. `None` when neither is
/// known.
pub(crate) fn memory() -> Option<u64> {
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .into_iter()
        .filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok());
    muster_os::proc::memory_total().into_iter().chain(limits).min()
}

/// One worker's share of the memory, in whole mebibytes, at least one.
pub(crate) fn share(memory: u64, workers: u32) -> u64 {
    const MIB: u64 = 1 << 20;
    (memory / u64::from(workers.max(1)) / MIB * MIB).max(MIB)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_memory() {
        assert_eq!(share(8 << 30, 3), 2730 << 20);
        assert_eq!(share(0, 2), 1 << 20);
        assert!(cores() >= 1 && memory().is_some_and(|bytes| bytes > 1 << 20));
    }
}
