//! The identity of a PID namespace, which no earlier or later namespace of the machine shares.

use std::os::unix::fs::MetadataExt as _;
use std::str::FromStr;
use std::{fmt, fs};

use crate::proc;

/// Inode of the namespace that a machine boots with (`PROC_PID_INIT_INO` of the kernel).
const OF_MACHINE: u64 = 0xefff_fffc;

/// A PID namespace. The kernel may reuse the inode of a namespace that is gone, so the start time
/// of the first process is part of the identity.
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
    /// The namespace of this process; `None` where `/proc` cannot be read.
    pub fn present() -> Option<PidNamespace> {
        let inode = fs::metadata("/proc/self/ns/pid").ok()?.ino();
        Some(PidNamespace { boot_id: proc::boot_id().ok()?, inode, first_started: proc::stat(1)?.start })
    }

    /// Whether it is the machine's initial namespace and not that of a container.
    pub fn is_of_machine(&self) -> bool {
        self.inode == OF_MACHINE
    }
}

impl fmt::Display for PidNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.boot_id, self.inode, self.first_started)
    }
}

/// The text is not a boot id, an inode and a start time, separated by spaces.
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
    fn it_comes_back_from_text() {
        let namespace = PidNamespace { boot_id: "6f1c".to_owned(), inode: 4_026_531_836, first_started: 4711 };
        assert!(namespace.is_of_machine());
        assert_eq!(namespace.to_string().parse(), Ok(namespace));
        for garbled in ["", "6f1c 12", "6f1c x 3", "6f1c 1 2 3"] {
            assert_eq!(garbled.parse::<PidNamespace>(), Err(NotANamespace), "{garbled}");
        }
        let present = PidNamespace::present().expect("there is a /proc");
        assert_eq!(present.to_string().parse(), Ok(present));
    }
}
