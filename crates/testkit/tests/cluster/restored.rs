//! The store goes back in time under running work: nothing is killed, nothing runs twice, and the operator is told.

use std::process::Command;

use muster_client::errors;
use muster_proto::v1::GetDriverRequest;
use muster_proto::v1::driver::State;
use muster_testkit::{Casting, Ensemble, eventually};

#[tokio::test]
async fn an_old_snapshot_is_restored_under_running_work() {
    let mut ensemble = Ensemble::start(Casting::default()).await;
    ensemble.submit(ensemble.judge.until("end").id("known")).await;
    ensemble.wait_for_state("known", State::Running).await;
    let past = ensemble.dir().join("past");
    ensemble.etcd.snapshot(&past);
    ensemble.wait_for_masters(3).await;
    ensemble.submit(ensemble.judge.until("end").id("forgotten")).await;
    ensemble.wait_for_state("forgotten", State::Running).await;
    // Leaders come and go, so that the present is far from the past.
    for _ in 0..3 {
        let (_, epoch) = ensemble.leader().await;
        ensemble.etcd.depose_leader().await;
        ensemble.leader_after(epoch).await;
    }
    let alive = |ensemble: &Ensemble| ["known", "forgotten"].map(|id| ensemble.judge.alive(id));
    let before = alive(&ensemble);
    assert!(before.iter().all(|pids| pids.len() == 1), "{before:?}");

    ensemble.etcd.restore(&past);
    // Whoever asks is told, and nobody acts.
    let told = async || {
        for master in ensemble.masters() {
            let asked = ensemble.plain(&master).get_driver(GetDriverRequest { driver_id: "known".to_owned() }).await;
            let reason = asked.err().and_then(|status| errors::reason_of(&status));
            if reason.as_deref() == Some(errors::reason::STORE_RESTORED) {
                return Some(());
            }
        }
        None
    };
    eventually("the operator to be told", std::time::Duration::from_secs(60), told).await;

    let mut recover = Command::new(ensemble.binaries().path("muster-master"));
    let output = recover.args(["recover", "--store", &ensemble.etcd.store()]).output().expect("it can be started");
    assert!(output.status.success(), "{output:?}");
    ensemble.wait_for_cluster("the next generation", |cluster| cluster.generation == 2).await;
    ensemble.wait_for_state("known", State::Running).await;
    ensemble.wait_for_cluster("the quarantine", |cluster| cluster.quarantined_attempts == 1).await;
    assert_eq!(alive(&ensemble), before, "what ran goes on");
    for id in ["known", "forgotten"] {
        ensemble.wait_until_it_executes(id).await;
    }

    ensemble.judge.open("end");
    ensemble.wait_for_state("known", State::Finished).await;
    ensemble.wait_for_cluster("the end of the quarantine", |cluster| cluster.quarantined_attempts == 0).await;
    let copies = ensemble.judge.copies();
    assert!(copies.values().all(|copies| copies.len() == 1 && copies[0].ended), "{copies:?}");
}
