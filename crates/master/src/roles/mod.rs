//! The roles of a master: `Standby → Recovering → Active → Standby …`. Each is a type that owns its things; `run` returns what the
//! next is built from.

mod active;
mod fault;
mod recovering;
mod standby;

pub(crate) use active::Next;
pub use fault::Fault;
pub(crate) use standby::{Node, Standby};
