//! Members of etcd are killed: one, the leading one, most of them.

use muster_client::errors;
use muster_testkit::{ClusterSpec, HaCluster, Load};
use tonic::Code;

use crate::PACE;
use crate::pair::{LEASED, ONCE, both_end, both_go_on, on_the_first_worker};

fn three_members() -> ClusterSpec {
    ClusterSpec { members: 3, ..ClusterSpec::default() }
}

#[tokio::test]
async fn the_leading_member_of_the_store_is_killed_under_load() {
    let mut cluster = HaCluster::start(three_members()).await;
    let mut load = Load::start(cluster.client(), &cluster.checker, PACE);
    for _ in 0..3 {
        load.wait_for_more(10).await;
        let member = cluster.etcd.leading_member().await;
        cluster.etcd.kill_member(&member);
        load.wait_for_more(10).await;
        cluster.etcd.start_member(&member);
        cluster.etcd.wait_until_it_serves();
    }
    load.stop().await.check(&cluster).await;
}

#[tokio::test]
async fn a_store_without_majority_pauses_what_is_leased_and_all_resumes_by_itself() {
    let mut cluster = on_the_first_worker(three_members()).await;
    for member in ["e1", "e2"] {
        cluster.etcd.kill_member(member);
    }
    cluster.wait_until_it_stands_still(LEASED).await;
    cluster.wait_until_it_executes(ONCE).await;
    for master in cluster.masters() {
        let refused = cluster.plain(&master).submit_driver(cluster.checker.lasting(1).id("refused").0).await;
        let status = refused.expect_err("nobody can accept it");
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert!(errors::reason_of(&status).is_some(), "{status:?}");
    }
    for member in ["e1", "e2"] {
        cluster.etcd.start_member(member);
    }
    both_go_on(&cluster).await;
    both_end(&cluster, 1).await;
    assert!(!cluster.checker.copies().contains_key("refused"), "what was refused ran");
}
