//! What `submissions` and `drivers` measure, through one etcd on this machine.

use muster_testkit::{ClusterSpec, HaCluster, Submit};

use crate::figure::Figures;
use crate::load::{CONNECTIONS, connect, submit};
use crate::{drivers, noop};

/// Submissions that are measured, after 2,000 that leave the start behind.
const SUBMISSIONS: usize = 50_000;
const DRIVERS: usize = 5_000;

pub(crate) async fn measure(figures: &mut Figures) {
    let spec = ClusterSpec { masters: 1, workers: 0, master_args: Vec::new(), ..ClusterSpec::default() };
    let cluster = HaCluster::start(spec.clone()).await;
    cluster.wait_for_masters(1).await;
    let clients = connect(&cluster.address("m1"), CONNECTIONS).await;
    let driver = Submit::program(&["/bin/true"]);
    submit(&clients, &driver, 2_000, 8).await;
    let loaded = submit(&clients, &driver, SUBMISSIONS, 8).await;
    figures.add("submissions acknowledged through one etcd", loaded.rate(), "per second");
    figures.add("submission through one etcd, p50", loaded.latencies.value_at_quantile(0.5) as f64 / 1e3, "ms");
    figures.add("submission through one etcd, p99", loaded.latencies.value_at_quantile(0.99) as f64 / 1e3, "ms");
    drop(cluster);

    let worker_args = ["--limits", "off"].map(str::to_owned).to_vec();
    let cluster = HaCluster::start(ClusterSpec { workers: 1, worker_args, ..spec }).await;
    let clients = connect(&cluster.address("m1"), CONNECTIONS).await;
    let program = noop::build(cluster.dir());
    let driver = Submit::program(&[program.to_str().expect("a plain path")]).resources(1, 16 << 20);
    let rate = drivers::finished(&clients, &driver, DRIVERS).await;
    figures.add("drivers finished through one etcd, tree only, 5,000", rate, "per second");
}
