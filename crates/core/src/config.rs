//! The settings of the core, and the identity of the cluster.

use std::time::Duration;

use muster_types::{ClusterUid, RequiredContainment};

use crate::placement::Policy;

/// The cluster that is led.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterInfo {
    /// Its identity.
    pub uid: ClusterUid,
    /// Its name, for people.
    pub name: String,
    /// How often its store was restored from an earlier state, counted from 1. Above 1, attempts
    /// that no record names are left running.
    pub generation: u64,
}

/// Settings of the core. The reason for each default is given there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How long after the last sign of life an attempt's lease has ended for certain: lease + store
    /// lease + margin.
    pub wait: Duration,
    /// How long a launch may go without a report. Then a kill is sent, its effect is awaited, and
    /// the launch has failed.
    pub launch_progress: Duration,
    /// How long finished records are kept.
    pub kept: Duration,
    /// How many finished drivers are kept, and how many finished applications.
    pub kept_records: usize,
    /// How many finished executors are kept per application.
    pub kept_executors: usize,
    /// How many request ids are remembered.
    pub kept_requests: usize,
    /// How many drivers may wait; more are refused.
    pub max_waiting: usize,
    /// How many launches in a row may fail to start, or be taken back, before the driver has
    /// failed.
    pub max_launch_failures: u32,
    /// How work is placed.
    pub policy: Policy,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            // 45 s + 3 s + 2 s.
            wait: Duration::from_secs(50),
            // Longer than any healthy start, and short enough that a worker that loses launches is
            // soon noticed.
            launch_progress: Duration::from_secs(60),
            // A day: yesterday's failure is still there in the morning.
            kept: Duration::from_secs(24 * 3600),
            // Bounds the memory of a master at some hundred megabytes, and a load at seconds.
            kept_records: 100_000,
            // As many as a page can show.
            kept_executors: 1_000,
            // Ten days of one mutation per second, or a quarter of an hour at a thousand.
            kept_requests: 1_000_000,
            // Ten times the number of waiting drivers that is tested.
            max_waiting: 1_000_000,
            // As many as the default restart policy allows a failing program.
            max_launch_failures: 10,
            // Off here, because the embedded store is for one machine, which may have no cgroups.
            // With etcd the master sets it by default.
            policy: Policy { require_containment: RequiredContainment::Nothing, ..Policy::default() },
        }
    }
}
