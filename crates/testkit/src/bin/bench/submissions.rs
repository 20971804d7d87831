//! Durable submissions acknowledged, by a master without workers.

use muster_testkit::{Cluster, Options, Submit};

use crate::figure::Figures;
use crate::load;
use crate::load::{CONNECTIONS, connect, submit};

/// Enough for a steady rate, in which the start does not matter.
const COUNT: usize = 100_000;

pub(crate) async fn measure(figures: &mut Figures) {
    let cluster = Cluster::start(Options { workers: 0, ..load::options() });
    let clients = connect(cluster.address(), CONNECTIONS).await;
    let driver = Submit::program(&["/bin/true"]);
    submit(&clients, &driver, 2_000, 8).await;
    let loaded = submit(&clients, &driver, COUNT, 8).await;
    figures.add("submissions acknowledged", loaded.rate(), "per second");
    figures.add("submission p50", loaded.latencies.value_at_quantile(0.5) as f64 / 1e3, "ms");
    figures.add("submission p99", loaded.latencies.value_at_quantile(0.99) as f64 / 1e3, "ms");
}
