//! What it costs to run programs as another user than the worker's. It needs root.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt as _;

use muster_proto::v1::master_service_client::MasterServiceClient;
use muster_testkit::{Cluster, Options, Submit, WorkerOptions};
use tonic::transport::Channel;

use crate::drivers::finished;
use crate::figure::Figures;
use crate::load::{self, CONNECTIONS, connect};
use crate::noop;

/// Drivers of a turn: as few as fill a worker for a while, so that what a shared machine does
/// beside it meets both.
const TURN: usize = 500;

/// Turns of each: enough for a median.
const TURNS: usize = 11;

/// Whom every machine has.
const ANOTHER: &str = "65534";

pub(crate) async fn measure(figures: &mut Figures) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    for (limits, name) in [("off", "tree only"), ("on", "with limits")] {
        let [own, another, share] = compare(limits).await;
        figures.add(format!("drivers finished as the worker's user, {name}, median turn"), own, "per second");
        figures.add(format!("drivers finished as another user, {name}, median turn"), another, "per second");
        figures.add(format!("another user against the worker's own, {name}, median pair"), share, "%");
    }
}

/// Drivers per second as either user, and the share of the second in the first, from two clusters
/// that take turns.
async fn compare(limits: &str) -> [f64; 3] {
    let own = UserCluster::start("0", limits).await;
    let another = UserCluster::start(ANOTHER, limits).await;
    let mut turns = Vec::new();
    for turn in 0..TURNS {
        // Neither is always the second, who meets what the first has left.
        turns.push(if turn % 2 == 0 {
            let own = own.turn().await;
            (own, another.turn().await)
        } else {
            let another = another.turn().await;
            (own.turn().await, another)
        });
    }
    let median = |of: fn(&(f64, f64)) -> f64| {
        let mut values: Vec<f64> = turns.iter().map(of).collect();
        values.sort_unstable_by(f64::total_cmp);
        values[values.len() / 2]
    };
    [median(|turn| turn.0), median(|turn| turn.1), median(|turn| 100.0 * turn.1 / turn.0)]
}

/// A cluster whose programs run as one user.
struct UserCluster {
    clients: Vec<MasterServiceClient<Channel>>,
    driver: Submit,
    _cluster: Cluster,
}

impl UserCluster {
    async fn start(user: &str, limits: &str) -> UserCluster {
        let args = ["--limits", limits].map(str::to_owned).to_vec();
        let worker = WorkerOptions { cores: 64, memory: "64GiB".into(), args, run_as: Some(user.to_owned()) };
        // The worker is started when its user can reach its directories.
        let mut cluster = Cluster::start(Options { workers: 0, worker, ..load::options() });
        for dir in cluster.dir().ancestors().take(2) {
            set_permissions(dir, Permissions::from_mode(0o711)).expect("a folder of our own");
        }
        let program = noop::build(cluster.dir());
        cluster.start_worker("w1");
        let clients = connect(cluster.address(), CONNECTIONS).await;
        let driver = Submit::program(&[program.to_str().expect("a plain path")]).resources(1, 16 << 20);
        let side = UserCluster { clients, driver, _cluster: cluster };
        side.turn().await;
        side
    }

    async fn turn(&self) -> f64 {
        finished(&self.clients, &self.driver, TURN).await
    }
}
