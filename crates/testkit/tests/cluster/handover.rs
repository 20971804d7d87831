//! Leaders that hand over, are ended in order, or are deposed although they are healthy.

use std::time::Duration;

use muster_client::errors;
use muster_proto::v1::StepDownRequest;
use muster_testkit::{ClusterSpec, HaCluster, Load};
use tonic::Code;

#[tokio::test]
async fn a_leader_that_steps_down_loses_no_call() {
    let cluster = HaCluster::start(ClusterSpec::default()).await;
    let mut load = Load::start(cluster.client(), &cluster.checker, Duration::from_millis(10));
    let (mut leader, mut epoch) = cluster.leader().await;
    for _ in 0..5 {
        cluster.wait_for_masters(3).await;
        load.wait_for_more(20).await;
        let answer = cluster.client().step_down(StepDownRequest::default()).await.expect("another takes over");
        let old = leader;
        (leader, epoch) = cluster.leader_after(epoch).await;
        assert_ne!(leader, old);
        assert_eq!(answer.leader, cluster.address(&leader));
    }
    load.wait_for_more(20).await;
    let loaded = load.stop().await;
    assert!(loaded.errors.is_empty(), "{:?}", loaded.errors);
    loaded.check(&cluster).await;
}

#[tokio::test]
async fn a_leader_that_is_told_to_end_loses_no_call() {
    let mut cluster = HaCluster::start(ClusterSpec::default()).await;
    let mut load = Load::start(cluster.client(), &cluster.checker, Duration::from_millis(10));
    for _ in 0..5 {
        cluster.wait_for_masters(3).await;
        load.wait_for_more(20).await;
        let (leader, epoch) = cluster.leader().await;
        cluster.terminate(&leader);
        cluster.leader_after(epoch).await;
        cluster.start_master(&leader);
    }
    let loaded = load.stop().await;
    assert!(loaded.errors.is_empty(), "{:?}", loaded.errors);
    loaded.check(&cluster).await;
}

/// A client that repeats nothing sees only failures of ours, and each says whether the call may
/// have been applied.
#[tokio::test]
async fn while_it_hands_over_a_plain_client_is_told_why_it_must_ask_again() {
    let cluster = HaCluster::start(ClusterSpec::default()).await;
    cluster.wait_for_masters(3).await;
    let (leader, epoch) = cluster.leader().await;
    let mut standby = cluster.plain(&cluster.standby().await);
    let client = cluster.client();
    let handing_over = tokio::spawn(async move { client.step_down(StepDownRequest::default()).await });
    let mut after = 0;
    while after < 50 {
        match standby.submit_driver(cluster.checker.lasting(1).0).await {
            Ok(_) => after += usize::from(handing_over.is_finished()),
            Err(status) => {
                let reason = errors::reason_of(&status).unwrap_or_else(|| panic!("not ours: {status:?}"));
                let is_told = status.code() == Code::Unavailable || reason == errors::reason::OUTCOME_UNKNOWN;
                assert!(is_told, "{status:?}");
            }
        }
    }
    handing_over.await.expect("it is not aborted").expect("another takes over");
    assert_ne!(cluster.leader_after(epoch).await.0, leader);
}

#[tokio::test]
async fn a_live_and_healthy_leader_is_deposed_again_and_again_under_load() {
    let cluster = HaCluster::start(ClusterSpec::default()).await;
    let mut load = Load::start(cluster.client(), &cluster.checker, Duration::from_millis(10));
    let mut epoch = (0, 0);
    for _ in 0..20 {
        (_, epoch) = cluster.leader_after(epoch).await;
        load.wait_for_more(10).await;
        cluster.etcd.depose_leader().await;
    }
    load.wait_for_more(10).await;
    // Each goes on in the same process: none was restarted.
    cluster.wait_for_masters(3).await;
    load.stop().await.check(&cluster).await;
}
