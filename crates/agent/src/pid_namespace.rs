//! What tells one PID namespace from every other, before it and after it, on one machine.

use std::fmt;
use std::str::FromStr;

/// Name of the file in the state directory that a worker which is process 1 of its namespace holds
/// locked while it lives. It holds the namespace, as text.
pub const PROCESS_ONE_LOCK_NAME: &str = "process-one.lock";

/// Inode of the namespace that a machine boots with (`PROC_PID_INIT_INO` of the kernel).
const OF_MACHINE: u64 = 0xefff_fffc;

/// A PID namespace. Its inode may be used again once it is gone, so it is told apart by when its
/// first process started, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PidNamespace {
    /// The boot in which it exists.
    pub boot_id: String,
    /// Inode of `/proc/self/ns/pid`.
    pub inode: u64,
    /// When its first process started, in clock ticks since the boot.
    pub first_started: u64,
}

impl PidNamespace {
    /// Of what the kernel says of it: `/proc/sys/kernel/random/boot_id`, the inode, and
    /// `/proc/1/stat`. `None` if that is not what the kernel writes.
    pub fn of(boot_id: &str, inode: u64, stat_of_first: &str) -> Option<PidNamespace> {
        // The name stands in parentheses and may hold anything. The time is field 22 of proc(5),
        // and the first after the name is field 3.
        let (_, rest) = stat_of_first.rsplit_once(')')?;
        let first_started = rest.split_ascii_whitespace().nth(19)?.parse().ok()?;
        let boot_id = boot_id.trim();
        (!boot_id.is_empty() && !boot_id.contains(char::is_whitespace)).then(|| PidNamespace {
            boot_id: boot_id.to_owned(),
            inode,
            first_started,
        })
    }

    /// Whether it is the machine's own, and not that of a container.
    pub fn is_of_machine(&self) -> bool {
        self.inode == OF_MACHINE
    }
}

impl fmt::Display for PidNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.boot_id, self.inode, self.first_started)
    }
}

/// A text is not a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotANamespace;

impl FromStr for PidNamespace {
    type Err = NotANamespace;

    fn from_str(text: &str) -> Result<PidNamespace, NotANamespace> {
        let mut words = text.split_ascii_whitespace();
        let mut next = || words.next().ok_or(NotANamespace);
        let (boot_id, inode, first_started) = (next()?.to_owned(), next()?, next()?);
        let number = |word: &str| word.parse().map_err(|_| NotANamespace);
        let namespace = PidNamespace { boot_id, inode: number(inode)?, first_started: number(first_started)? };
        words.next().is_none().then_some(namespace).ok_or(NotANamespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_from_the_kernel_and_from_text() {
        let stat = "1 (a) 7 (b) S 0 1 1 0 -1 4194560 20 30 4 5 6 7 8 9 20 0 1 0 4711 12345 10 18446744073709551615";
        let namespace = PidNamespace::of("6f1c\n", 4_026_531_836, stat).expect("as the kernel writes it");
        assert_eq!(namespace.first_started, 4711);
        assert!(namespace.is_of_machine());
        assert_eq!(namespace.to_string().parse(), Ok(namespace.clone()));
        for garbled in ["", "6f1c 12", "6f1c x 3", "6f1c 1 2 3"] {
            assert_eq!(garbled.parse::<PidNamespace>(), Err(NotANamespace), "{garbled}");
        }
        assert_eq!(PidNamespace::of("6f1c", 1, "1 (a) S 0"), None);
        assert_eq!(PidNamespace::of(" ", 1, stat), None);
    }
}
