//! An upgrade: every part is restarted, one after the other, under load.

use muster_testkit::{ClusterSpec, HaCluster, Load};

use crate::PACE;

#[tokio::test]
async fn everything_is_restarted_under_load_and_nobody_notices() {
    let mut cluster = HaCluster::start(ClusterSpec { members: 3, ..ClusterSpec::default() }).await;
    let mut load = Load::start(cluster.client(), &cluster.checker, PACE);
    load.wait_for_more(10).await;
    for master in cluster.masters() {
        cluster.terminate(&master);
        load.wait_for_more(5).await;
        cluster.start_master(&master);
        cluster.wait_for_masters(3).await;
    }
    for worker in ["w1", "w2"] {
        cluster.terminate(worker);
        load.wait_for_more(5).await;
        cluster.start_worker(worker);
        let is_alive = |worker: &muster_proto::v1::Worker| worker.state() == muster_proto::v1::worker::State::Alive;
        cluster.wait_for_worker(worker, "life", is_alive).await;
    }
    for member in cluster.etcd.names() {
        cluster.etcd.terminate_member(&member);
        load.wait_for_more(5).await;
        cluster.etcd.start_member(&member);
        cluster.etcd.wait_until_it_serves();
    }
    let loaded = load.stop().await;
    assert!(loaded.errors.is_empty(), "{:?}", loaded.errors);
    loaded.check(&cluster).await;
}
