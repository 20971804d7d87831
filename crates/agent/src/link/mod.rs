//! The worker's side of the link: which stream is current, which leader is obeyed, what is still to
//! be acknowledged.
//!
//! A pure machine. [`Link::handle`] is told what happened and when; [`Link::drain`] hands over what
//! is to be done, in order; [`Link::next_deadline`] is the only reason to call `handle` with
//! [`LinkInput::Tick`].
//!
//! The rules that it keeps (I-NUMBER, I-STREAM, I-INVENTORY and I-LEASE of ARCHITECTURE.md):
//! - one stream; from the moment the next is dialled nothing that comes by an older one is obeyed;
//! - an epoch is on disk before the inventory goes up under it, a lower one is refused, an equal
//!   one of another leader too;
//! - the lease counts from the *sending* of the hello or heartbeat that was answered;
//! - one watch on another master tells of a higher epoch, which is dialled at once, and of nothing
//!   that would be obeyed;
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
