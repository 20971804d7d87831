//! The worker's side of the link: which stream is current, which leader is obeyed, what is still to
//! be acknowledged.
//!
//! A pure machine. [`Link::handle`] takes an event and its time; [`Link::drain`] returns the
//! effects, in order; [`Link::next_deadline`] says when to call `handle` with [`LinkInput::Tick`].
//!
//! The rules that it keeps (I-NUMBER, I-STREAM, I-INVENTORY and I-LEASE of ARCHITECTURE.md):
//! - there is one stream: once the next is dialled, nothing from an older one is obeyed;
//! - an epoch is on disk before the inventory goes up under it; a lower epoch is refused, and an
//!   equal one of another leader too;
//! - the lease counts from the *sending* of the hello or heartbeat that was answered;
//! - a watch on another master only tells which leader to dial: the worker never obeys it;
//! - an end is reported until it is acknowledged under its own sequence.

mod downlink;
mod effect;
mod input;
mod machine;
mod masters;
mod memory;
mod reports;
mod stream;
#[cfg(test)]
mod tests;
mod watch;

pub use effect::{LinkEffect, Notice};
pub use input::{DownlinkMessage, GoodbyeReason, LeaderSeen, LinkInput, NumberedDownlink, ReceivedGoodbye, Welcome};
pub use machine::Link;
pub use memory::RememberedCluster;
