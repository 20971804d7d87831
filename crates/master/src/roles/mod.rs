//! The roles of a master: `Standby → Recovering → Active → Standby …`, and `Active → Halted →
//! Standby` when the store went back in time. Each role is a type that owns its state; its `run`
//! returns what the next role is built from.

mod active;
mod fatal;
mod halted;
mod readiness;
mod recovering;
mod standby;
mod succession;
mod warm_state;

pub(crate) use active::RoleAfter;
pub use fatal::FatalError;
pub(crate) use readiness::Readiness;
pub(crate) use standby::{MasterProcess, Standby};
