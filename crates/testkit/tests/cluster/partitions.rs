//! Parts that are cut from each other: both ways and one way, for shorter and for longer than the
//! lease.

use muster_proto::v1::driver::State;
use muster_testkit::{ClusterSpec, HaCluster, Load};

use crate::PACE;
use crate::pair::{LEASED, ONCE, both_end, both_go_on, it_goes_on, it_runs_elsewhere, on_the_first_worker};

fn apart() -> ClusterSpec {
    ClusterSpec { namespaces: true, ..ClusterSpec::default() }
}

#[derive(Clone, Copy)]
enum Way {
    Both,
    There,
    Back,
}

fn cut(cluster: &HaCluster, one: &str, other: &str, way: Way) {
    match way {
        Way::Both => cluster.cut(one, other),
        Way::There => cluster.cut_one_way(one, other),
        Way::Back => cluster.cut_one_way(other, one),
    }
}

#[tokio::test]
async fn a_leader_that_is_cut_from_the_store_stops_by_itself_and_another_leads() {
    let cluster = HaCluster::start(apart()).await;
    let mut load = Load::start(cluster.client(), &cluster.checker, PACE);
    for way in [Way::Both, Way::There, Way::Back] {
        load.wait_for_more(10).await;
        let (leader, epoch) = cluster.leader().await;
        cut(&cluster, &leader, "e1", way);
        let (next, _) = cluster.leader_after(epoch).await;
        assert_ne!(next, leader);
        load.wait_for_more(10).await;
        cluster.heal();
        cluster.wait_for_masters(3).await;
    }
    load.stop().await.check(&cluster).await;
}

#[tokio::test]
async fn a_leader_that_is_cut_from_all_workers_goes_on_accepting_and_they_come_back() {
    let cluster = HaCluster::start(apart()).await;
    let mut load = Load::start(cluster.client(), &cluster.checker, PACE);
    load.wait_for_more(10).await;
    let (leader, epoch) = cluster.leader().await;
    for worker in ["w1", "w2"] {
        cluster.cut(&leader, worker);
    }
    load.wait_for_more(10).await;
    cluster.wait_for_cluster("two lost workers", |cluster| !cluster.workers.contains_key("ALIVE")).await;
    load.wait_for_more(10).await;
    cluster.heal();
    assert_eq!(cluster.leader().await, (leader, epoch), "nobody else has led");
    load.stop().await.check_with_lost_workers(&cluster).await;
}

#[tokio::test]
async fn a_worker_that_is_cut_from_everyone_for_a_moment_goes_on() {
    let cluster = on_the_first_worker(apart()).await;
    everyone(&cluster, Way::Both);
    let silent = |worker: &muster_proto::v1::Worker| worker.state() == muster_proto::v1::worker::State::Disconnected;
    cluster.wait_for_worker("w1", "silence or life", |worker| silent(worker) || worker.drivers == 2).await;
    cluster.heal();
    both_go_on(&cluster).await;
    both_end(&cluster, 1).await;
}

#[tokio::test]
async fn a_worker_that_is_cut_from_everyone_loses_what_is_leased_and_nothing_else() {
    for way in [Way::Both, Way::There, Way::Back] {
        let cluster = on_the_first_worker(apart()).await;
        everyone(&cluster, way);
        lost_and_found(&cluster).await;
    }
}

#[tokio::test]
async fn a_worker_that_is_cut_from_the_leader_alone_is_as_lost() {
    let cluster = on_the_first_worker(apart()).await;
    let (leader, _) = cluster.leader().await;
    cluster.cut("w1", &leader);
    lost_and_found(&cluster).await;
}

/// Cuts `w1` from all masters.
fn everyone(cluster: &HaCluster, way: Way) {
    for master in cluster.masters() {
        cut(cluster, "w1", &master, way);
    }
}

/// The worker is cut off: the leased driver runs elsewhere, never beside its first copy, and the
/// unleased one is found again.
async fn lost_and_found(cluster: &HaCluster) {
    it_runs_elsewhere(cluster).await;
    cluster.wait_for_state(ONCE, State::Unreachable).await;
    cluster.wait_until_it_executes(ONCE).await;
    cluster.heal();
    it_goes_on(cluster, ONCE).await;
    let driver = cluster.wait_for_state(LEASED, State::Running).await;
    assert_eq!(driver.attempts.len(), 2, "{driver:?}");
    both_end(cluster, 2).await;
}
