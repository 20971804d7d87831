//! Durable records and leadership: one trait each, [`Store`] and [`Candidate`], and their
//! implementations.
//!
//! A candidate that wins gets a [`Leader`] with the store of its term. Only a won term can write,
//! and writes of an earlier term are refused.
//!
//! Every implementation must pass the suite of the module `conformance` (a feature).
//!
//! `memory:` keeps everything in the process, `embedded:DIRECTORY` in one directory of one machine,
//! and `etcd://…` in an etcd that several masters share; [`open`] opens each by its location.

mod any;
mod backup;
pub mod clock;
mod codec;
mod directory;
mod drop_in_background;
mod election;
mod embedded;
mod error;
mod etcd;
mod key;
mod leadership;
mod memory;
mod open;
mod random;
mod records;
mod recover;
mod replica_update;
#[cfg(any(test, feature = "conformance"))]
mod sample;
mod schema;
mod solo_election;
mod splitmix;
mod store;
#[cfg(test)]
mod tests;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;

pub use any::{AnyCandidate, AnyStore};
pub use backup::{Archive, ArchiveError, Backup, RestoreError, Restored, restore};
pub use drop_in_background::DropInBackground;
pub use election::{ElectionError, KeyRequest, LeaderView, LeaderWatch, LeaderWatchKeeper, Member};
pub use embedded::{EmbeddedCandidate, EmbeddedStore};
pub use error::{CampaignError, CommitError, LoadError, OpenError};
pub use etcd::{EtcdCandidate, EtcdLocation, EtcdStore, EtcdTls, Password, ReplicaHandle};
pub use leadership::{Candidacy, Candidate, Deadline, DeadlineKeeper, Leader, NewCluster};
pub use memory::{MemoryCandidate, MemoryStore};
pub use open::{Location, open};
pub use recover::recover;
pub use replica_update::{RecordChanges, ReplicaUpdate};
pub use store::{Store, Transaction};
