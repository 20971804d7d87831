//! The messages between a worker and its leader, both ways. Parsing is total: every message of a
//! peer becomes a value or a [`WireError`].

mod commands;
mod hello;
mod numbers;
mod report;

pub use hello::{LeaderWelcome, PROTOCOL_VERSION};
