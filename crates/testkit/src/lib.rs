//! Process clusters, oracles and load, for tests and benchmarks. Nothing that ships depends on this crate.

#![expect(clippy::panic, reason = "a test harness fails by panicking")]

mod binaries;
mod cluster;
mod daemon;
mod ensemble;
mod etcd;
mod judge;
mod load;
mod network;
mod oracle;
mod submit;
mod wait;
pub mod world;

pub use binaries::Binaries;
pub use cluster::{Cluster, Options, WorkerOptions};
pub use daemon::Daemon;
pub use ensemble::{Casting, Ensemble};
pub use etcd::Etcd;
pub use judge::{Copy, Judge};
pub use load::{Kind, Load, Loaded};
pub use network::{Network, Node};
pub use oracle::{Oracle, Run};
pub use submit::Submit;
pub use wait::{eventually, wait_for_file};
