//! The master's decisions, without I/O: cluster state, liveness, recovery, placement, invariants.
//!
//! [`Core`] is a synchronous state machine: `handle` takes an input, `place` runs once per batch,
//! and `drain` returns the writes with the effects that follow once they are durable.

mod application;
mod attempt;
mod bounds;
mod config;
mod core;
mod effect;
mod follower;
mod groups;
mod idempotency;
mod input;
pub mod invariants;
pub mod liveness;
mod outbox;
mod place;
pub mod placement;
mod recovery;
mod request;
mod restart;
mod restore;
mod retention;
mod size;
mod state;
mod timers;
mod variables;
mod views;
mod worker;

pub use bounds::{BATCH_INPUTS, ETCD_BATCH_WRITES};
pub use config::*;
pub use core::Core;
pub use effect::*;
pub use follower::{Follower, Term};
pub use input::*;
pub use outbox::{MAX_GROUP_BYTES, MAX_GROUP_WRITES};
pub use request::{MAX_ROLE_BINDINGS, MAX_TOKENS};
