//! The state directory: lock, identity, and what the agent remembers of the link.

mod identity;
mod lock;
mod memory;
mod process_one;

use std::io;
use std::path::PathBuf;

pub use identity::Identity;
pub use lock::lock;
pub use memory::{forget, load, load_masters, store, store_masters};
pub use process_one::ProcessOneLock;

/// What failed in the state directory.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be made.
    #[error("cannot make the directory {0}")]
    Create(PathBuf, #[source] io::Error),
    /// Another worker holds it.
    #[error("the state directory {0} is in use by another muster-worker")]
    Locked(PathBuf),
    /// `stop` while an agent runs there.
    #[error(
        "an agent runs on the state directory {0}: end it first, with a TERM to muster-worker; what it runs goes on until \
         stop ends that"
    )]
    Served(PathBuf),
    /// `stop` while the worker is process 1 of a container.
    #[error(
        "the worker on the state directory {0} is process 1 of a container, which would start its agent again: send \
         process 1 a TERM, which ends the agent and then what runs here"
    )]
    ServedByProcessOne(PathBuf),
    /// It cannot be locked.
    #[error("cannot lock {0}")]
    Lock(PathBuf, #[source] io::Error),
    /// A file of it cannot be read.
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] io::Error),
    /// A file of it does not hold what it should.
    #[error("{0} does not hold what it should")]
    Garbled(PathBuf),
    /// It is a copy of another worker's.
    #[error(
        "the state directory {0} is a copy of another worker's, and must not act for it: start on an empty directory, or \
         remove the copy's files to start as a new worker"
    )]
    Copied(PathBuf),
    /// A file of it cannot be written.
    #[error("cannot write {0}")]
    Write(PathBuf, #[source] io::Error),
    /// No randomness for a new identity.
    #[error("no randomness for a new identity")]
    Random(#[source] getrandom::Error),
}
