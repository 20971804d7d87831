//! The errors of stores, and what may be concluded from them.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use muster_os::PrivateDirectoryError;
use muster_types::{Commit, Verdict};

/// The cause of a failure within a store's own library.
pub(crate) type Cause = Box<dyn Error + Send + Sync>;

/// A store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The location names no known kind of store.
    #[error("unknown store {location:?}: use \"memory:\" or \"embedded:DIRECTORY\" or \"etcd://HOST:PORT/PREFIX\"")]
    Location {
        /// As it was given.
        location: String,
    },
    /// The location of an etcd is invalid. The error leaves its text out, because it may hold a
    /// password.
    #[error("bad location of an etcd: {reason}")]
    EtcdLocation {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The directory or its lock could not be made or read.
    #[error("cannot use the store directory {path}")]
    Directory {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The directory cannot be made, or is not taken.
    #[error("cannot use the store directory {path}")]
    NotTaken {
        /// The path.
        path: PathBuf,
        /// Why.
        source: PrivateDirectoryError,
    },
    /// Another process holds the store.
    #[error("the store {path} is in use by {}", process(*.pid))]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The process, if it could be read.
        pid: Option<u32>,
    },
    /// The directory is on a network file system, whose locks and syncs prove nothing.
    #[error("the store {path} is on {kind}, a network file system: use a local disk")]
    NetworkFileSystem {
        /// The directory.
        path: PathBuf,
        /// The file system.
        kind: &'static str,
    },
    /// A newer Muster wrote the store.
    #[error("the store {store} has schema {found}, this program knows up to {known}: use a newer Muster")]
    NewerSchema {
        /// The directory, or the location.
        store: String,
        /// Its schema.
        found: u32,
        /// The newest schema that this program reads.
        known: u32,
    },
    /// The stored data is damaged. Nothing was changed.
    #[error("the store {path} is damaged")]
    Damaged {
        /// The file or directory.
        path: PathBuf,
        /// What was found.
        source: Cause,
    },
    /// The database failed for another reason.
    #[error("cannot open the store {path}")]
    Database {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: Cause,
    },
    /// No member of an etcd answers as it should.
    #[error("cannot reach the store {store}")]
    EtcdUnreachable {
        /// The location, without the password.
        store: String,
        /// Why.
        source: Cause,
    },
    /// An etcd does not know this user, or denies it access.
    #[error("the store {store} does not let this user in")]
    EtcdDenied {
        /// The location, without the password.
        store: String,
        /// What it said.
        source: Cause,
    },
    /// An etcd has no space left.
    #[error("the store {store} has no space left: raise its quota or defragment it, then `etcdctl alarm disarm`")]
    EtcdFull {
        /// The location, without the password.
        store: String,
    },
    /// A member has a version that is not supported.
    #[error("etcd {version} at {endpoint} {}", not_taken(*.lossy))]
    EtcdVersion {
        /// The member.
        endpoint: String,
        /// Its version.
        version: String,
        /// Whether the version can lose data; such a one is accepted only with `allow_lossy`.
        lossy: bool,
    },
    /// There is no cluster.
    #[error("the store {store} holds no cluster")]
    Nothing {
        /// The directory, or the location.
        store: String,
    },
    /// The prefix holds something that is not a Muster cluster.
    #[error("the store {store} holds something else than a Muster cluster: the key {key:?}")]
    EtcdForeign {
        /// The location, without the password.
        store: String,
        /// A key that is foreign or cannot be read.
        key: String,
    },
    /// A cluster is at a prefix around this one.
    #[error("the store {store} lies within the prefix {outer} of another cluster: give each cluster its own prefix")]
    EtcdNested {
        /// The location, without the password.
        store: String,
        /// The prefix of the other cluster.
        outer: String,
    },
    /// An etcd grants no lease as short as requested.
    #[error("a lease of {asked:?} is shorter than etcd grants: it grants {granted:?}")]
    EtcdLease {
        /// The requested length.
        asked: Duration,
        /// The granted length.
        granted: Duration,
    },
    /// The store is that of a cluster of another name.
    #[error("the store {store} is of the cluster {found:?}, not of {asked:?}: give each cluster its own prefix")]
    OtherCluster {
        /// The location, without the password.
        store: String,
        /// The name of its cluster.
        found: String,
        /// The expected name.
        asked: String,
    },
    /// The machine gave no random numbers.
    #[error("the machine gave no random numbers")]
    Random {
        /// Why.
        source: getrandom::Error,
    },
}

/// The holder of a store, for people.
fn process(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// Why a version of etcd is not accepted.
fn not_taken(lossy: bool) -> &'static str {
    match lossy {
        true => "can lose data when a member is killed: use 3.5.3 or later, or say ?allow_lossy=true",
        false => "is not supported: use 3.4 to 3.6",
    }
}

/// Leadership could not be won; no part of a term has begun.
#[derive(Debug, thiserror::Error)]
pub enum CampaignError {
    /// The epoch could not be made durable. The process must end.
    #[error("cannot raise the epoch in the store {path}")]
    Database {
        /// Where.
        path: PathBuf,
        /// Why.
        source: Cause,
    },
    /// The store has failed before and accepts nothing more.
    #[error("the store has failed and is closed")]
    Closed,
    /// A shared store holds another cluster than when it was opened. The process must end.
    #[error("the store holds another cluster than when it was opened")]
    Replaced,
    /// A shared store did not answer or refused; the campaign may be repeated.
    #[error("the store cannot be reached")]
    Unreachable {
        /// Why.
        source: Cause,
    },
    /// The machine gave no random numbers.
    #[error("the machine gave no random numbers")]
    Random {
        /// Why.
        source: getrandom::Error,
    },
}

impl CampaignError {
    /// Whether the process must end. Otherwise a standby simply tries again.
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

/// The records could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The stored data is damaged. Nothing was changed.
    #[error("the store {path} is damaged")]
    Damaged {
        /// Where.
        path: PathBuf,
        /// What was found.
        source: Cause,
    },
    /// Reading failed.
    #[error("cannot read the store {path}")]
    Database {
        /// Where.
        path: PathBuf,
        /// Why.
        source: Cause,
    },
    /// The term of this handle is over.
    #[error("a later term has begun")]
    Superseded,
    /// A newer program has migrated a shared store to a schema that this one does not know. The
    /// process must end.
    #[error("the store has schema {found}, this program knows up to {known}: use a newer Muster")]
    NewerSchema {
        /// The schema of the store.
        found: u32,
        /// The newest schema that this program reads.
        known: u32,
    },
    /// A shared store did not answer: the call may be repeated, or the term given up.
    #[error("the store cannot be reached")]
    Unreachable {
        /// Why.
        source: Cause,
    },
    /// The store has failed before and accepts nothing more.
    #[error("the store has failed and is closed")]
    Closed,
}

impl LoadError {
    /// Whether the process must end, because its further reads and writes could not be trusted.
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

/// A transaction failed. [`CommitError::verdict`] says whether it may have been applied.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The number is not the next one. This call did nothing; `newest` shows whether an earlier
    /// call with the same number was applied.
    #[error("transaction {} does not follow {}", .offered.0, .newest.0)]
    Number {
        /// The newest transaction in the store.
        newest: Commit,
        /// The refused transaction.
        offered: Commit,
    },
    /// The term of this handle is over: a later one has begun, or the key is gone.
    #[error("a later term has begun")]
    Superseded,
    /// A shared store did not answer in time, or its answer was lost: the transaction may have been
    /// applied, and may still be. The same transaction may be offered again while the term lasts,
    /// because its number lets it apply only once.
    #[error("the store did not answer")]
    Unanswered {
        /// Why.
        source: Cause,
    },
    /// The term is over or had to be given up, and it is unknown whether an earlier attempt of the
    /// transaction was applied.
    #[error("the term ended while a transaction was on its way")]
    Overtaken,
    /// The store has no space left. The transaction may be offered again, once somebody has made
    /// room.
    #[error("the store has no space left")]
    NoSpace {
        /// What the store said.
        source: Cause,
    },
    /// A shared store refused the transaction, and would refuse it again.
    #[error("the store refused a transaction")]
    Refused {
        /// What the store said.
        source: Cause,
    },
    /// The disk is so full that the store cannot be read. The outcome of the transaction is known
    /// once there is room; until then the same transaction may be offered again.
    #[error("the disk of the store {path} is full")]
    Full {
        /// Where.
        path: PathBuf,
        /// What the database said.
        source: Cause,
    },
    /// Writing or syncing failed. After a failed sync, data that is read back cannot be trusted.
    #[error("cannot write to the store {path}")]
    Database {
        /// Where.
        path: PathBuf,
        /// Why.
        source: Cause,
    },
    /// The store has failed before and accepts nothing more.
    #[error("the store has failed and is closed")]
    Closed,
}

impl CommitError {
    /// Whether the transaction was applied, as far as this error tells.
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

    /// Whether the process must end, because its further reads and writes could not be trusted.
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

    /// Whether the same transaction, and no other with its number, may be offered again while the
    /// term lasts. The result is `Ok` when it turns out to be applied. The error of a failed repeat
    /// is true of all earlier attempts as well.
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
