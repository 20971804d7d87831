//! Everything is restarted, one part after the other, under load: an upgrade.

use muster_testkit::{Casting, Ensemble, Load};

use crate::PACE;

#[tokio::test]
async fn everything_is_restarted_under_load_and_nobody_notices() {
    let mut ensemble = Ensemble::start(Casting { members: 3, ..Casting::default() }).await;
    let mut load = Load::start(ensemble.client(), &ensemble.judge, PACE);
    load.wait_for_more(10).await;
    for master in ensemble.masters() {
        ensemble.terminate(&master);
        load.wait_for_more(5).await;
        ensemble.start_master(&master);
        ensemble.wait_for_masters(3).await;
    }
    for worker in ["w1", "w2"] {
        ensemble.terminate(worker);
        load.wait_for_more(5).await;
        ensemble.start_worker(worker);
        let is_alive = |worker: &muster_proto::v1::Worker| worker.state() == muster_proto::v1::worker::State::Alive;
        ensemble.wait_for_worker(worker, "life", is_alive).await;
    }
    for member in ensemble.etcd.names() {
        ensemble.etcd.terminate_member(&member);
        load.wait_for_more(5).await;
        ensemble.etcd.start_member(&member);
        ensemble.etcd.wait_until_it_serves();
    }
    let loaded = load.stop().await;
    assert!(loaded.errors.is_empty(), "{:?}", loaded.errors);
    loaded.judge(&ensemble).await;
}
