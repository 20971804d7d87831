//! The worker's decisions, pure: the link, the fence, and what agent and runner say to each other.

pub mod fence;
pub mod guard;
pub mod journal;
pub mod link;
pub mod runner_protocol;
