//! The messages between a worker and its leader, both ways. Parsing is total: whatever a peer sends
//! is a value or a [`WireError`].

mod commands;
mod hello;
mod numbers;
mod report;

pub use hello::{LeaderWelcome, PROTOCOL_VERSION};
