//! Records in etcd, shared by any number of masters of which one leads.
//!
//! A master takes a lease and puts an election key on it; the lowest creation revision leads, and
//! is the epoch. Every transaction compares the creation revision of that key and the number of the
//! transaction before. These modules keep the promises:
//!
//! - [`keepalive`] keeps the lease and moves the deadline, counted from the sending of the last
//!   successful keep-alive, never from an answer.
//! - [`follow`] watches all changes in one order: a leader sees the deletion of its key, and a
//!   standby has every record before it wins.
//! - [`transaction`] makes the transactions fail that a deposed leader still has in flight, and
//!   lets a repeated transaction apply only once.

mod archive;
mod candidate;
mod check;
mod compaction;
mod connection;
mod election_queue;
mod failure;
mod follow;
mod keepalive;
mod key_request;
mod keys;
mod lease;
mod local_state;
mod location;
mod migrate;
mod page;
mod replica;
mod restore;
mod store;
mod transaction;
mod version;

pub use candidate::EtcdCandidate;
pub use location::{EtcdLocation, EtcdTls, Password};
pub use replica::ReplicaHandle;
pub(crate) use restore::{recover, restore};
pub use store::EtcdStore;

/// A sample for the golden files.
#[cfg(test)]
pub(crate) fn golden_member() -> impl crate::codec::Stored + std::fmt::Debug {
    let (address, version) = ("host:7077".to_owned(), "0.1.0".to_owned());
    election_queue::MemberRecord {
        leader: muster_types::LeaderUid(5),
        address,
        version,
        since: muster_types::WallTime(6),
    }
}
