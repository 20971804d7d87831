//! The agent on every machine: link to the master, logs, artifacts, its own gRPC service.
//!
//! It may be restarted or upgraded at any time: the runner holds what runs, and `agent::link` makes
//! the decisions of the link. This crate opens, carries and serves.

pub mod accounts;
pub mod agent;
pub mod attempts;
pub mod certificate;
pub mod clock;
pub mod config;
pub mod init;
pub mod janitor;
pub mod join;
pub mod launch;
pub mod link;
pub mod logs;
pub mod metrics;
mod private_tmp;
pub mod protection;
pub mod runner;
pub mod service;
pub mod state;
pub mod status;
pub mod traced;
