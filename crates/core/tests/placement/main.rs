//! Placement, compared with the rules of the reference system.

mod cost;
mod drivers;
mod executors;
mod explanations;
mod fleet;
mod properties;
mod reference;
mod support;
