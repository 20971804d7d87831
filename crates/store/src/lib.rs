//! Durable records and leadership: one trait each, [`Store`] and [`Candidate`], and what implements them.
//!
//! A candidate that wins is handed a [`Leader`], and with it the store of that term: nothing can be written without having
//! won, and what an earlier term writes is refused.
//!
//! `memory:` keeps everything in the process, `embedded:DIRECTORY` in one directory of one machine; [`open`] makes either from its name.

mod any;
mod codec;
mod error;
mod leadership;
mod memory;
mod open;
mod random;
mod store;

pub use any::{AnyCandidate, AnyStore};
pub use error::{CampaignError, CommitError, LoadError, OpenError};
pub use leadership::{Candidate, Deadline, DeadlineKeeper, Founding, Leader};
pub use memory::{MemoryCandidate, MemoryStore};
pub use open::{Location, open};
pub use store::{Store, Transaction};
