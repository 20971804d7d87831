//! The state directory: lock, identity, and what the agent remembers of the link.

mod identity;
mod lock;
mod memory;
mod process_one;

use std::io;
use std::path::{Path, PathBuf};

use muster_agent::runner_protocol::{STATE_MARKS, STATE_OTHERS};
use muster_os::{OwnFiles, PrivateDirectoryError, make_private};

pub use identity::Identity;
pub use lock::lock;
pub use memory::{forget, load, load_masters, store, store_masters};
pub use process_one::ProcessOneLock;

/// What failed in the state directory.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be made, or is not taken.
    #[error("state directory")]
    Directory(#[source] PrivateDirectoryError),
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

/// Makes the state directory if it is missing, and closes it to others; agent and process 1 share
/// it with the runner.
fn make(directory: &Path) -> Result<(), StateError> {
    let own = OwnFiles { marks: STATE_MARKS, others: STATE_OTHERS };
    make_private(directory, own).map_err(StateError::Directory)
}
