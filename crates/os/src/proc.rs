//! Facts about processes and the machine, read from `/proc`. A process may end at any time: the
//! answer is then `None`, empty or `false`.

use std::time::Duration;
use std::{fmt, fs, io};

/// A process, from `/proc/PID/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessStat {
    /// The kernel's letter: `R`, `S`, `Z`….
    pub state: char,
    /// Its parent's PID.
    pub parent: i32,
    /// Its session ID.
    pub session: i32,
    /// When it started, in clock ticks since boot. Together with the PID it identifies the process
    /// for the whole boot.
    pub start: u64,
}

/// The cgroup of a process in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupPlace {
    /// Controllers of the hierarchy, joined by commas; empty in version 2.
    pub controllers: String,
    /// Path from the root of the hierarchy.
    pub path: String,
}

impl CgroupPlace {
    /// Whether this is a hierarchy of version 1 with this controller.
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.split(',').any(|name| name == controller)
    }
}

/// What this process uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnUsage {
    /// Bytes of memory that are in use.
    pub resident: u64,
    /// Bytes of address space.
    pub virtual_size: u64,
    /// Time on a processor, of all threads, in user and in kernel mode.
    pub cpu: Duration,
    /// Threads.
    pub threads: u64,
    /// Open file descriptors.
    pub open_files: u64,
    /// How many may be open.
    pub max_files: Option<u64>,
    /// When it started, as time since 1970.
    pub started: Duration,
}

/// What this process uses; `None` where there is no `/proc`.
pub fn own_usage() -> Option<OwnUsage> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let kilobytes = |name| field(name)?.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024);
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let ticks = |number: usize| stat.rsplit_once(')')?.1.split_whitespace().nth(number)?.parse::<u64>().ok();
    let per_second = rustix::param::clock_ticks_per_second();
    let length = |ticks: u64| Duration::from_millis(ticks.saturating_mul(1000) / per_second.max(1));
    let kernel = fs::read_to_string("/proc/stat").ok()?;
    let boot = kernel.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(OwnUsage {
        resident: kilobytes("VmRSS:")?,
        virtual_size: kilobytes("VmSize:")?,
        cpu: length(ticks(11)?.saturating_add(ticks(12)?)),
        threads: field("Threads:")?.parse().ok()?,
        open_files: u64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()?,
        max_files: rustix::process::getrlimit(rustix::process::Resource::Nofile).current,
        started: Duration::from_secs(boot) + length(ticks(19)?),
    })
}

/// The PIDs of all processes; none where there is no `/proc`.
pub fn pids() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The process with this PID, if there is one. A process that has ended but is not reaped still
/// counts.
pub fn stat(pid: i32) -> Option<ProcessStat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The process name is in parentheses and may contain any character, so the fields begin after the
/// last `)`.
fn parse_stat(text: &str) -> Option<ProcessStat> {
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.parse().ok()?;
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    let start = fields.nth(15)?.parse().ok()?;
    Some(ProcessStat { state, parent, session, start })
}

/// Whether `is_such` is true of a NUL-separated word in `environ` or `cmdline` of a process.
pub fn has_word(pid: i32, file: &str, is_such: impl FnMut(&[u8]) -> bool) -> bool {
    fs::read(format!("/proc/{pid}/{file}")).is_ok_and(|bytes| bytes.split(|byte| *byte == 0).any(is_such))
}

/// The cgroups of a process, one for each hierarchy. The process is a PID or `self`.
pub fn cgroups(process: impl fmt::Display) -> Vec<CgroupPlace> {
    let text = fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap_or_default();
    text.lines().filter_map(parse_cgroup).collect()
}

/// `id:controllers:path`.
fn parse_cgroup(line: &str) -> Option<CgroupPlace> {
    let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
    Some(CgroupPlace { controllers: controllers.to_owned(), path: path.to_owned() })
}

/// Bytes of memory that the machine has.
pub fn memory_total() -> Option<u64> {
    parse_memory_total(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn parse_memory_total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The kernel's id of the present boot; random, new at each boot.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_have_any_name() {
        let text = "12 (a) b (c) S 1 12 13 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 1000";
        assert_eq!(parse_stat(text), Some(ProcessStat { state: 'S', parent: 1, session: 13, start: 4242 }));
        assert_eq!(parse_stat("12 (a) S 1"), None);
    }

    #[test]
    fn this_process_is_found_and_described() {
        let me = std::process::id().cast_signed();
        assert!(pids().any(|pid| pid == me));
        assert_eq!(stat(me).expect("it runs").parent, std::os::unix::process::parent_id().cast_signed());
        assert!(has_word(me, "cmdline", |word| !word.is_empty()) && !has_word(me, "environ", |word| word == b"="));
        assert!(!cgroups("self").is_empty() && !boot_id().expect("a boot").is_empty());
        assert!(memory_total().is_some_and(|bytes| bytes > 1 << 20));
        let usage = own_usage().expect("it runs");
        assert!(usage.resident > 0 && usage.virtual_size >= usage.resident && usage.threads > 0, "{usage:?}");
        assert!(usage.open_files >= 3 && usage.max_files.is_none_or(|most| most >= usage.open_files), "{usage:?}");
        let age = Duration::from_millis(crate::clock::wall()).saturating_sub(usage.started);
        assert!(age < Duration::from_secs(24 * 3600), "it started a moment ago: {usage:?}");
    }

    #[test]
    fn lines_of_the_kernel_are_read() {
        let place = parse_cgroup("7:cpu,cpuacct:/a:b").expect("a line");
        assert!(place.has("cpuacct") && !place.has("memory") && place.path == "/a:b");
        assert_eq!(parse_cgroup("0::/x").expect("a line").controllers, "");
        assert_eq!(parse_memory_total("MemTotal:        8000000 kB\nMemFree: 1 kB\n"), Some(8_192_000_000));
    }
}
