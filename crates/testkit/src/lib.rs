//! Process clusters, oracles and load, for tests and benchmarks. Nothing that ships depends on this
//! crate.

#![expect(clippy::panic, reason = "a test harness fails by panicking")]

mod access_file;
mod binaries;
mod cluster;
mod collector;
mod daemon;
mod etcd;
mod ha_cluster;
mod history_checker;
mod load;
mod network;
mod oracle;
mod submit;
mod test_ca;
mod wait;
pub mod world;

pub use access_file::AccessFile;
pub use binaries::{BINARIES, Binaries};
pub use cluster::{Cluster, Options, WorkerOptions, said};
pub use collector::{Collector, ExportedSpan};
pub use daemon::Daemon;
pub use etcd::Etcd;
pub use ha_cluster::{ClusterSpec, HaCluster};
pub use history_checker::{Copy, HistoryChecker};
pub use load::{Kind, Load, Loaded};
pub use network::{NamespaceNetwork, NetworkNode};
pub use oracle::{Oracle, Run};
pub use submit::Submit;
pub use wait::{eventually, wait_for_file};
