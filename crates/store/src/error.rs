//! What can go wrong, and what may be concluded from it.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

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
    /// The location of an etcd is not one. Without its text: there may be a password in it.
    EtcdLocation {
        /// What is wrong with it.
        reason: &'static str,
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
        /// The directory, or the location.
        store: String,
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
    /// No member of an etcd answers, or none as it should.
    EtcdUnreachable {
        /// The location, without the password.
        store: String,
        /// Why.
        source: Cause,
    },
    /// An etcd does not know this user, or does not let it in.
    EtcdDenied {
        /// The location, without the password.
        store: String,
        /// What it said.
        source: Cause,
    },
    /// An etcd has no space left.
    EtcdFull {
        /// The location, without the password.
        store: String,
    },
    /// A member is of a version that is not taken.
    EtcdVersion {
        /// The member.
        endpoint: String,
        /// Its version.
        version: String,
        /// Whether it is one that can lose data, which is taken by those who say so.
        lossy: bool,
    },
    /// There is no cluster.
    Nothing {
        /// The directory, or the location.
        store: String,
    },
    /// The prefix holds something that is not a Muster cluster.
    EtcdForeign {
        /// The location, without the password.
        store: String,
        /// A key that is there, or is there and not understood.
        key: String,
    },
    /// An etcd grants no lease as short as that.
    EtcdLease {
        /// As asked for.
        asked: Duration,
        /// As granted.
        granted: Duration,
    },
    /// The store is that of a cluster of another name.
    OtherCluster {
        /// The location, without the password.
        store: String,
        /// The name that it has.
        found: String,
        /// The name that was asked for.
        asked: String,
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
                write!(
                    f,
                    "unknown store {location:?}: use \"memory:\" or \"embedded:DIRECTORY\" or \"etcd://HOST:PORT/PREFIX\""
                )
            }
            OpenError::EtcdLocation { reason } => write!(f, "bad location of an etcd: {reason}"),
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
            OpenError::NewerSchema { store, found, known } => {
                write!(f, "the store {store} has schema {found}, this program knows up to {known}: use a newer Muster")
            }
            OpenError::Damaged { path, .. } => write!(f, "the store {} is damaged", path.display()),
            OpenError::Database { path, .. } => write!(f, "cannot open the store {}", path.display()),
            OpenError::EtcdUnreachable { store, .. } => write!(f, "cannot reach the store {store}"),
            OpenError::EtcdDenied { store, .. } => write!(f, "the store {store} does not let this user in"),
            OpenError::EtcdFull { store } => write!(
                f,
                "the store {store} has no space left: raise its quota or defragment it, then `etcdctl alarm disarm`"
            ),
            OpenError::EtcdVersion { endpoint, version, lossy: false } => {
                write!(f, "etcd {version} at {endpoint} is not supported: use 3.4 to 3.6")
            }
            OpenError::EtcdVersion { endpoint, version, lossy: true } => write!(
                f,
                "etcd {version} at {endpoint} can lose data when a member is killed: use 3.5.3 or later, or say ?allow_lossy=true"
            ),
            OpenError::Nothing { store } => write!(f, "the store {store} holds no cluster"),
            OpenError::EtcdForeign { store, key } => {
                write!(f, "the store {store} holds something else than a Muster cluster: the key {key:?}")
            }
            OpenError::EtcdLease { asked, granted } => {
                write!(f, "a lease of {asked:?} is shorter than etcd grants: it grants {granted:?}")
            }
            OpenError::OtherCluster { store, found, asked } => {
                write!(
                    f,
                    "the store {store} is of the cluster {found:?}, not of {asked:?}: give each cluster its own prefix"
                )
            }
            OpenError::Random { .. } => f.write_str("the machine gave no random numbers"),
        }
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            OpenError::Location { .. }
            | OpenError::EtcdLocation { .. }
            | OpenError::Locked { .. }
            | OpenError::EtcdFull { .. }
            | OpenError::EtcdVersion { .. }
            | OpenError::EtcdForeign { .. }
            | OpenError::Nothing { .. }
            | OpenError::EtcdLease { .. }
            | OpenError::OtherCluster { .. }
            | OpenError::NetworkFileSystem { .. }
            | OpenError::NewerSchema { .. } => None,
            OpenError::Directory { source, .. } => Some(source),
            OpenError::Damaged { source, .. }
            | OpenError::Database { source, .. }
            | OpenError::EtcdUnreachable { source, .. }
            | OpenError::EtcdDenied { source, .. } => Some(source.as_ref()),
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
    /// A shared store holds another cluster than when it was opened. The process must end.
    Replaced,
    /// A shared store did not answer or refused; what was tried may be tried again.
    Unreachable {
        /// Why.
        source: Cause,
    },
    /// The machine gave no random numbers.
    Random {
        /// Why.
        source: getrandom::Error,
    },
}

impl CampaignError {
    /// Whether the process must end. Else a standby simply tries again.
    pub fn is_fatal(&self) -> bool {
        match self {
            CampaignError::Database { .. }
            | CampaignError::Closed
            | CampaignError::Replaced
            | CampaignError::Random { .. } => true,
            CampaignError::Unreachable { .. } => false,
        }
    }
}

impl fmt::Display for CampaignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CampaignError::Database { path, .. } => write!(f, "cannot raise the epoch in the store {}", path.display()),
            CampaignError::Closed => f.write_str("the store has failed and is closed"),
            CampaignError::Replaced => f.write_str("the store holds another cluster than when it was opened"),
            CampaignError::Unreachable { .. } => f.write_str("the store cannot be reached"),
            CampaignError::Random { .. } => f.write_str("the machine gave no random numbers"),
        }
    }
}

impl Error for CampaignError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            CampaignError::Database { source, .. } | CampaignError::Unreachable { source } => Some(source.as_ref()),
            CampaignError::Closed | CampaignError::Replaced => None,
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
    /// A newer program has brought a shared store into a form that this one does not know. The
    /// process must end.
    NewerSchema {
        /// The form found.
        found: u32,
        /// The newest that this program reads.
        known: u32,
    },
    /// A shared store did not answer: it may be asked again, or the term be given up.
    Unreachable {
        /// Why.
        source: Cause,
    },
    /// The store has failed before and takes nothing any more.
    Closed,
}

impl LoadError {
    /// Whether the process must end: nothing that it would read or write next can be trusted.
    pub fn is_fatal(&self) -> bool {
        match self {
            LoadError::Damaged { .. }
            | LoadError::Database { .. }
            | LoadError::NewerSchema { .. }
            | LoadError::Closed => true,
            LoadError::Superseded | LoadError::Unreachable { .. } => false,
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Damaged { path, .. } => write!(f, "the store {} is damaged", path.display()),
            LoadError::Database { path, .. } => write!(f, "cannot read the store {}", path.display()),
            LoadError::Superseded => f.write_str("a later term has begun"),
            LoadError::NewerSchema { found, known } => {
                write!(f, "the store has schema {found}, this program knows up to {known}: use a newer Muster")
            }
            LoadError::Unreachable { .. } => f.write_str("the store cannot be reached"),
            LoadError::Closed => f.write_str("the store has failed and is closed"),
        }
    }
}

impl Error for LoadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            LoadError::Damaged { source, .. }
            | LoadError::Database { source, .. }
            | LoadError::Unreachable { source } => Some(source.as_ref()),
            LoadError::Superseded | LoadError::NewerSchema { .. } | LoadError::Closed => None,
        }
    }
}

/// A transaction failed. [`CommitError::verdict`] says what may be concluded.
#[derive(Debug)]
pub enum CommitError {
    /// The number is not the next one. This call did nothing; whether an earlier call of the same
    /// number did is seen by `newest`.
    Number {
        /// The newest in the store.
        newest: Commit,
        /// The one offered.
        offered: Commit,
    },
    /// The term of this handle is over: a later one has begun, or the key is gone.
    Superseded,
    /// A shared store did not answer in time, or its answer was lost: it may have been applied, and
    /// may still be. The same transaction may be offered again, as often as its term stands: its
    /// number lets it apply once.
    Unanswered {
        /// Why.
        source: Cause,
    },
    /// The term is over or had to be given up, and whether an earlier attempt of the transaction
    /// was applied is not known.
    Overtaken,
    /// The store has no space left. It may be offered again, once somebody has made some.
    NoSpace {
        /// What the store said.
        source: Cause,
    },
    /// A shared store refused it for a reason that offering it again would not mend.
    Refused {
        /// What the store said.
        source: Cause,
    },
    /// The disk is so full that the store cannot be read: what became of the transaction is known
    /// once there is room. Until then the same one may be offered again.
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
            CommitError::Number { .. }
            | CommitError::Superseded
            | CommitError::NoSpace { .. }
            | CommitError::Refused { .. } => Verdict::NotApplied,
            CommitError::Unanswered { .. }
            | CommitError::Overtaken
            | CommitError::Full { .. }
            | CommitError::Database { .. }
            | CommitError::Closed => Verdict::Unknown,
        }
    }

    /// Whether the process must end: nothing that it would read or write next can be trusted.
    pub fn is_fatal(&self) -> bool {
        match self {
            CommitError::Number { .. }
            | CommitError::Superseded
            | CommitError::Unanswered { .. }
            | CommitError::Overtaken
            | CommitError::NoSpace { .. }
            | CommitError::Full { .. }
            | CommitError::Refused { .. } => false,
            CommitError::Database { .. } | CommitError::Closed => true,
        }
    }

    /// Whether the same transaction, and no other of its number, may be offered again while the
    /// term stands. One that turns out to be applied is `Ok`. What a repeat that fails says is true
    /// of every attempt before it as well.
    pub fn may_repeat(&self) -> bool {
        match self {
            CommitError::Unanswered { .. } | CommitError::NoSpace { .. } | CommitError::Full { .. } => true,
            CommitError::Number { .. }
            | CommitError::Superseded
            | CommitError::Overtaken
            | CommitError::Refused { .. }
            | CommitError::Database { .. }
            | CommitError::Closed => false,
        }
    }

    /// Whether the store has no space left.
    pub fn is_full(&self) -> bool {
        matches!(self, CommitError::Full { .. } | CommitError::NoSpace { .. })
    }
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommitError::Number { newest, offered } => {
                write!(f, "transaction {} does not follow {}", offered.0, newest.0)
            }
            CommitError::Superseded => f.write_str("a later term has begun"),
            CommitError::Overtaken => f.write_str("the term ended while a transaction was on its way"),
            CommitError::Unanswered { .. } => f.write_str("the store did not answer"),
            CommitError::NoSpace { .. } => f.write_str("the store has no space left"),
            CommitError::Refused { .. } => f.write_str("the store refused a transaction"),
            CommitError::Full { path, .. } => write!(f, "the disk of the store {} is full", path.display()),
            CommitError::Database { path, .. } => write!(f, "cannot write to the store {}", path.display()),
            CommitError::Closed => f.write_str("the store has failed and is closed"),
        }
    }
}

impl Error for CommitError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            CommitError::Full { source, .. }
            | CommitError::Database { source, .. }
            | CommitError::Unanswered { source }
            | CommitError::NoSpace { source }
            | CommitError::Refused { source } => Some(source.as_ref()),
            CommitError::Number { .. } | CommitError::Superseded | CommitError::Overtaken | CommitError::Closed => None,
        }
    }
}
