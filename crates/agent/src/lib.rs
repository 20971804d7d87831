//! The worker's decisions, pure: the link, the fence, and what agent and runner say to each other.

pub mod fence;
pub mod guard;
pub mod journal;
pub mod link;
pub mod pid_namespace;
pub mod runner_protocol;
