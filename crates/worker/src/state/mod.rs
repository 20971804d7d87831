//! The state directory: lock, identity, and what the agent remembers of the link.

mod identity;
mod lock;
mod memory;
mod process_one;

use std::path::PathBuf;
use std::{fmt, io};

pub use identity::Identity;
pub use lock::Lock;
pub use memory::{forget, load, load_masters, store, store_masters};
pub use process_one::ProcessOneLock;

/// What failed in the state directory.
#[derive(Debug)]
pub enum StateError {
    /// It cannot be made.
    Create(PathBuf, io::Error),
    /// Another worker holds it.
    Locked(PathBuf),
    /// It cannot be locked.
    Lock(PathBuf, io::Error),
    /// A file of it cannot be read.
    Read(PathBuf, io::Error),
    /// A file of it does not hold what it should.
    Garbled(PathBuf),
    /// It is a copy of another worker's.
    Copied(PathBuf),
    /// A file of it cannot be written.
    Write(PathBuf, io::Error),
    /// No randomness for a new identity.
    Random(getrandom::Error),
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StateError::Create(path, _) => write!(f, "cannot make the directory {}", path.display()),
            StateError::Locked(path) => {
                write!(f, "the state directory {} is in use by another muster-worker", path.display())
            }
            StateError::Lock(path, _) => write!(f, "cannot lock {}", path.display()),
            StateError::Read(path, _) => write!(f, "cannot read {}", path.display()),
            StateError::Garbled(path) => write!(f, "{} does not hold what it should", path.display()),
            StateError::Copied(path) => write!(
                f,
                "the state directory {} is a copy of another worker's, and must not act for it: start on an empty directory, or \
                 remove the copy's files to start as a new worker",
                path.display()
            ),
            StateError::Write(path, _) => write!(f, "cannot write {}", path.display()),
            StateError::Random(_) => f.write_str("no randomness for a new identity"),
        }
    }
}

impl std::error::Error for StateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StateError::Create(_, source)
            | StateError::Lock(_, source)
            | StateError::Read(_, source)
            | StateError::Write(_, source) => Some(source),
            StateError::Locked(_) | StateError::Garbled(_) | StateError::Copied(_) => None,
            StateError::Random(source) => Some(source),
        }
    }
}
