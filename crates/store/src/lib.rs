//! Durable records and leadership: one trait each, [`Store`] and [`Candidate`], and what implements them.
//!
//! A candidate that wins is handed a [`Leader`], and with it the store of that term: nothing can be written without having
//! won, and what an earlier term writes is refused.
//!
//! Every implementation must pass the suite of the module `conformance` (a feature).
//!
//! `memory:` keeps everything in the process, `embedded:DIRECTORY` in one directory of one machine; [`open`] makes either from its name.

mod any;
mod backup;
mod booth;
pub mod clock;
mod codec;
mod directory;
mod election;
mod embedded;
mod error;
mod etcd;
mod key;
mod large;
mod leadership;
mod memory;
mod news;
mod open;
mod random;
mod records;
mod recover;
#[cfg(any(test, feature = "conformance"))]
mod sample;
mod schema;
mod store;
#[cfg(test)]
mod tests;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;

pub use any::{AnyCandidate, AnyStore};
pub use backup::{Archive, ArchiveError, Backup, RestoreError, Restored, restore};
pub use election::{Election, ElectionError, ElectionKeeper, Inquiry, Member, Standing};
pub use embedded::{EmbeddedCandidate, EmbeddedStore};
pub use error::{CampaignError, CommitError, LoadError, OpenError};
pub use etcd::{EtcdCandidate, EtcdLocation, EtcdStore, EtcdTls, Password, Replica};
pub use large::Large;
pub use leadership::{Candidacy, Candidate, Deadline, DeadlineKeeper, Founding, Leader};
pub use memory::{MemoryCandidate, MemoryStore};
pub use news::{Changes, News};
pub use open::{Location, open};
pub use recover::recover;
pub use store::{Store, Transaction};
