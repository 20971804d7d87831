//! The worker's decisions as pure code: the link, the fence, the guard, the journal's format, and
//! the protocol between agent and runner.

pub mod fence;
pub mod guard;
pub mod journal;
pub mod link;
pub mod runner_protocol;
