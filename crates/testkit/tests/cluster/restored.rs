//! The store goes back in time under running work: nothing is killed, nothing runs twice, and the
//! operator is told.

use std::process::Command;

use muster_client::errors;
use muster_proto::v1::GetDriverRequest;
use muster_proto::v1::driver::State;
use muster_testkit::{ClusterSpec, HaCluster, eventually};

#[tokio::test]
async fn an_old_snapshot_is_restored_under_running_work() {
    let mut cluster = HaCluster::start(ClusterSpec::default()).await;
    cluster.submit(cluster.checker.until("end").id("known")).await;
    cluster.wait_for_state("known", State::Running).await;
    let past = cluster.dir().join("past");
    cluster.etcd.snapshot(&past);
    cluster.wait_for_masters(3).await;
    cluster.submit(cluster.checker.until("end").id("forgotten")).await;
    cluster.wait_for_state("forgotten", State::Running).await;
    // Leaders change, so that the present is far from the snapshot.
    for _ in 0..3 {
        let (_, epoch) = cluster.leader().await;
        cluster.etcd.depose_leader().await;
        cluster.leader_after(epoch).await;
    }
    let alive = |cluster: &HaCluster| ["known", "forgotten"].map(|id| cluster.checker.alive(id));
    let before = alive(&cluster);
    assert!(before.iter().all(|pids| pids.len() == 1), "{before:?}");

    cluster.etcd.restore(&past);
    // Callers are told, and no master acts.
    let reported = async || {
        for master in cluster.masters() {
            let asked = cluster.plain(&master).get_driver(GetDriverRequest { driver_id: "known".to_owned() }).await;
            let reason = asked.err().and_then(|status| errors::reason_of(&status));
            if reason.as_deref() == Some(errors::reason::STORE_RESTORED) {
                return Some(());
            }
        }
        None
    };
    eventually("the operator to be told", std::time::Duration::from_secs(60), reported).await;

    let mut recover = Command::new(cluster.binaries().path("muster-master"));
    let output = recover.args(["recover", "--store", &cluster.etcd.store()]).output().expect("it can be started");
    assert!(output.status.success(), "{output:?}");
    cluster.wait_for_cluster("the next generation", |cluster| cluster.generation == 2).await;
    cluster.wait_for_state("known", State::Running).await;
    cluster.wait_for_cluster("the quarantine", |cluster| cluster.quarantined_attempts == 1).await;
    assert_eq!(alive(&cluster), before, "what ran goes on");
    for id in ["known", "forgotten"] {
        cluster.wait_until_it_executes(id).await;
    }

    cluster.checker.open("end");
    cluster.wait_for_state("known", State::Finished).await;
    cluster.wait_for_cluster("the end of the quarantine", |cluster| cluster.quarantined_attempts == 0).await;
    let copies = cluster.checker.copies();
    assert!(copies.values().all(|copies| copies.len() == 1 && copies[0].ended), "{copies:?}");
}
