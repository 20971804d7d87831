//! kill -9 and SIGSTOP of leaders under load.

use muster_testkit::{ClusterSpec, HaCluster, Load};

use crate::PACE;

#[tokio::test]
async fn fifty_leaders_are_killed_under_load_and_nothing_acknowledged_is_lost() {
    let mut cluster = HaCluster::start(ClusterSpec::default()).await;
    let mut load = Load::start(cluster.client(), &cluster.checker, PACE);
    load.wait_for_more(5).await;
    let mut epoch = (0, 0);
    for _ in 0..50 {
        let (leader, known) = cluster.leader_after(epoch).await;
        epoch = known;
        cluster.kill(&leader);
        load.wait_for_more(3).await;
        cluster.start_master(&leader);
    }
    load.stop().await.check(&cluster).await;
}

#[tokio::test]
async fn ten_leaders_are_paused_for_longer_than_their_lease_and_wake_up_to_find_another() {
    let cluster = HaCluster::start(ClusterSpec::default()).await;
    let mut load = Load::start(cluster.client(), &cluster.checker, PACE);
    load.wait_for_more(5).await;
    let (mut leader, mut epoch) = cluster.leader().await;
    for _ in 0..10 {
        cluster.pause(&leader);
        let paused = leader;
        (leader, epoch) = cluster.leader_after(epoch).await;
        assert_ne!(leader, paused);
        load.wait_for_more(3).await;
        cluster.resume(&paused);
        // It stands for election again by itself.
        cluster.wait_for_masters(3).await;
    }
    load.stop().await.check(&cluster).await;
}

/// The reference system accepts no submission then, for its whole recovery time-out.
#[tokio::test]
async fn a_leader_and_a_worker_die_together_and_submissions_go_on() {
    let mut cluster = HaCluster::start(ClusterSpec::default()).await;
    let mut load = Load::start(cluster.client(), &cluster.checker, PACE);
    load.wait_for_more(20).await;
    for worker in ["w1", "w2", "w1"] {
        let (leader, _) = cluster.leader().await;
        cluster.kill(&leader);
        cluster.kill(worker);
        load.wait_for_more(20).await;
        cluster.start_master(&leader);
        cluster.start_worker(worker);
        cluster.wait_for_masters(3).await;
        load.wait_for_more(20).await;
    }
    load.stop().await.check(&cluster).await;
}
