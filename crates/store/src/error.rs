//! What can go wrong, and what may be concluded from it.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use muster_types::{Commit, Verdict};

/// The cause of a failure within a store's own library.
pub(crate) type Cause = Box<dyn Error + Send + Sync>;

/// A store could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The location names no store that is known.
    Location {
        /// As it was given.
        location: String,
    },
    /// The directory or its lock could not be made or read.
    Directory {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process holds the store.
    Locked {
        /// The directory.
        path: PathBuf,
        /// The process, if it could be read.
        pid: Option<u32>,
    },
    /// The directory is on a network file system, whose locks and syncs prove nothing.
    NetworkFileSystem {
        /// The directory.
        path: PathBuf,
        /// The file system.
        kind: &'static str,
    },
    /// A newer Muster wrote the store.
    NewerSchema {
        /// The directory.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The newest schema that this program reads.
        known: u32,
    },
    /// What is there is not what was written. Nothing was changed.
    Damaged {
        /// The file or directory.
        path: PathBuf,
        /// What was found.
        source: Cause,
    },
    /// The database failed for another reason.
    Database {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: Cause,
    },
    /// The machine gave no random numbers.
    Random {
        /// Why.
        source: getrandom::Error,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Location { location } => {
                write!(f, "unknown store {location:?}: use \"memory:\" or \"embedded:DIRECTORY\"")
            }
            OpenError::Directory { path, .. } => write!(f, "cannot use the store directory {}", path.display()),
            OpenError::Locked { path, pid: Some(pid) } => {
                write!(f, "the store {} is in use by process {pid}", path.display())
            }
            OpenError::Locked { path, pid: None } => {
                write!(f, "the store {} is in use by another process", path.display())
            }
            OpenError::NetworkFileSystem { path, kind } => {
                write!(f, "the store {} is on {kind}, a network file system: use a local disk", path.display())
            }
            OpenError::NewerSchema { path, found, known } => write!(
                f,
                "the store {} has schema {found}, this program knows up to {known}: use a newer Muster",
                path.display()
            ),
            OpenError::Damaged { path, .. } => write!(f, "the store {} is damaged", path.display()),
            OpenError::Database { path, .. } => write!(f, "cannot open the store {}", path.display()),
            OpenError::Random { .. } => f.write_str("the machine gave no random numbers"),
        }
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            OpenError::Location { .. }
            | OpenError::Locked { .. }
            | OpenError::NetworkFileSystem { .. }
            | OpenError::NewerSchema { .. } => None,
            OpenError::Directory { source, .. } => Some(source),
            OpenError::Damaged { source, .. } | OpenError::Database { source, .. } => Some(source.as_ref()),
            OpenError::Random { source } => Some(source),
        }
    }
}

/// Leadership could not be won; nothing of a term was begun.
#[derive(Debug)]
pub enum CampaignError {
    /// The epoch could not be made durable. The process must end.
    Database {
        /// Where.
        path: PathBuf,
        /// Why.
        source: Cause,
    },
    /// The store has failed before and takes nothing any more. The process must end.
    Closed,
    /// The machine gave no random numbers.
    Random {
        /// Why.
        source: getrandom::Error,
    },
}

impl fmt::Display for CampaignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CampaignError::Database { path, .. } => write!(f, "cannot raise the epoch in the store {}", path.display()),
            CampaignError::Closed => f.write_str("the store has failed and is closed"),
            CampaignError::Random { .. } => f.write_str("the machine gave no random numbers"),
        }
    }
}

impl Error for CampaignError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            CampaignError::Database { source, .. } => Some(source.as_ref()),
            CampaignError::Closed => None,
            CampaignError::Random { source } => Some(source),
        }
    }
}

/// The records could not be read.
#[derive(Debug)]
pub enum LoadError {
    /// What is there is not what was written. Nothing was changed.
    Damaged {
        /// Where.
        path: PathBuf,
        /// What was found.
        source: Cause,
    },
    /// Reading failed.
    Database {
        /// Where.
        path: PathBuf,
        /// Why.
        source: Cause,
    },
    /// The term of this handle is over.
    Superseded,
    /// The store has failed before and takes nothing any more.
    Closed,
}

impl LoadError {
    /// Whether the process must end: nothing that it would read or write next can be trusted.
    pub fn is_fatal(&self) -> bool {
        match self {
            LoadError::Damaged { .. } | LoadError::Database { .. } | LoadError::Closed => true,
            LoadError::Superseded => false,
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Damaged { path, .. } => write!(f, "the store {} is damaged", path.display()),
            LoadError::Database { path, .. } => write!(f, "cannot read the store {}", path.display()),
            LoadError::Superseded => f.write_str("a later term has begun"),
            LoadError::Closed => f.write_str("the store has failed and is closed"),
        }
    }
}

impl Error for LoadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            LoadError::Damaged { source, .. } | LoadError::Database { source, .. } => Some(source.as_ref()),
            LoadError::Superseded | LoadError::Closed => None,
        }
    }
}

/// A transaction failed. [`CommitError::verdict`] says what may be concluded.
#[derive(Debug)]
pub enum CommitError {
    /// The number is not the next one. This call did nothing; whether an earlier call of the same number did is seen by `newest`.
    Number {
        /// The newest in the store.
        newest: Commit,
        /// The one offered.
        offered: Commit,
    },
    /// The term of this handle is over: a later one has begun, or the key is gone.
    Superseded,
    /// The disk is full.
    Full {
        /// Where.
        path: PathBuf,
        /// What the database said.
        source: Cause,
    },
    /// Writing or syncing failed. After a failed sync nothing that is read back can be trusted.
    Database {
        /// Where.
        path: PathBuf,
        /// Why.
        source: Cause,
    },
    /// The store has failed before and takes nothing any more.
    Closed,
}

impl CommitError {
    /// What may be concluded of the transaction.
    pub fn verdict(&self) -> Verdict {
        match self {
            CommitError::Number { .. } | CommitError::Superseded => Verdict::NotApplied,
            CommitError::Full { .. } | CommitError::Database { .. } | CommitError::Closed => Verdict::Unknown,
        }
    }

    /// Whether the process must end: nothing that it would read or write next can be trusted.
    pub fn is_fatal(&self) -> bool {
        match self {
            CommitError::Number { .. } | CommitError::Superseded => false,
            CommitError::Full { .. } | CommitError::Database { .. } | CommitError::Closed => true,
        }
    }
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommitError::Number { newest, offered } => {
                write!(f, "transaction {} does not follow {}", offered.0, newest.0)
            }
            CommitError::Superseded => f.write_str("a later term has begun"),
            CommitError::Full { path, .. } => write!(f, "the disk of the store {} is full", path.display()),
            CommitError::Database { path, .. } => write!(f, "cannot write to the store {}", path.display()),
            CommitError::Closed => f.write_str("the store has failed and is closed"),
        }
    }
}

impl Error for CommitError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            CommitError::Full { source, .. } | CommitError::Database { source, .. } => Some(source.as_ref()),
            CommitError::Number { .. } | CommitError::Superseded | CommitError::Closed => None,
        }
    }
}
