//! The roles of a master: `Standby → Recovering → Active → Standby …`, and `Active → Halted → Standby` when the store went back
//! in time. Each is a type that owns its things; `run` returns what the next is built from.

mod active;
mod fault;
mod front_door;
mod halted;
mod prepared;
mod recovering;
mod standby;
mod succession;

pub(crate) use active::Next;
pub use fault::Fault;
pub(crate) use standby::{Node, Standby};
