//! The master's decisions, pure: cluster state, liveness, recovery, placement, invariants.

mod effect;
mod input;
pub mod placement;

pub use effect::*;
pub use input::*;
