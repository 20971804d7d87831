//! Known holes of earlier systems that no other test here covers; `docs/loss.md` names the test of
//! each.

use std::time::Duration;

use muster_client::v1::{
    ApplicationSpec, Command, Executor, ExecutorProfile, ExecutorTemplate, ListExecutorsRequest,
    RegisterApplicationRequest, Resources, WatchApplicationRequest, executor,
};
use muster_proto::v1::driver::State;
use muster_testkit::{ClusterSpec, HaCluster, Submit, eventually};

const SOON: Duration = Duration::from_secs(60);

async fn lose_the_leader(cluster: &mut HaCluster) {
    cluster.wait_for_masters(3).await;
    let (leader, epoch) = cluster.leader().await;
    cluster.kill(&leader);
    cluster.leader_after(epoch).await;
}

#[tokio::test]
async fn what_was_queued_when_the_leader_died_runs_once() {
    let mut cluster = HaCluster::start(ClusterSpec { workers: 0, ..ClusterSpec::default() }).await;
    let mut ids = Vec::new();
    for number in 0..40 {
        ids.push(cluster.submit(cluster.checker.lasting(1).id(&format!("queued-{number}"))).await);
    }
    lose_the_leader(&mut cluster).await;
    cluster.start_worker("w1");
    for id in &ids {
        let driver = cluster.wait_for_state(id, State::Finished).await;
        assert_eq!(driver.attempts.len(), 1, "{driver:?}");
    }
    let copies = cluster.checker.copies();
    assert_eq!(copies.len(), ids.len());
    assert!(copies.values().all(|copies| copies.len() == 1), "{copies:?}");
}

#[tokio::test]
async fn what_ended_while_nobody_led_keeps_its_result() {
    let mut cluster = HaCluster::start(ClusterSpec { workers: 1, ..ClusterSpec::default() }).await;
    for (id, leased) in [("leased", true), ("once", false)] {
        let end = cluster.dir().join("end");
        let done = cluster.dir().join(format!("done-{id}"));
        let script =
            format!("while ! test -e {}; do sleep 0.02; done; echo > {}; exit 9", end.display(), done.display());
        let submit = Submit::shell(&script).id(id);
        cluster.submit(if leased { submit.leased() } else { submit }).await;
        cluster.wait_for_state(id, State::Running).await;
    }
    for master in cluster.masters() {
        cluster.kill(&master);
    }
    std::fs::write(cluster.dir().join("end"), "").expect("a file can be written");
    for id in ["leased", "once"] {
        let done = cluster.dir().join(format!("done-{id}"));
        eventually("the end", SOON, async || done.exists().then_some(())).await;
    }
    for master in cluster.masters() {
        cluster.start_master(&master);
    }
    for id in ["leased", "once"] {
        let driver = cluster.wait_for_state(id, State::Failed).await;
        assert_eq!(driver.attempts.len(), 1, "{driver:?}");
        assert_eq!(driver.outcome.and_then(|outcome| outcome.exit_code), Some(9));
    }
}

#[tokio::test]
async fn one_request_id_is_one_driver_on_both_sides_of_a_failover() {
    let mut cluster = HaCluster::start(ClusterSpec::default()).await;
    let submit = cluster.checker.lasting(1).request("0190-once");
    let first = cluster.submit(submit.clone()).await;
    lose_the_leader(&mut cluster).await;
    assert_eq!(cluster.submit(submit).await, first);
    cluster.wait_for_state(&first, State::Finished).await;
    assert_eq!(cluster.checker.copies()[&first].len(), 1);
}

/// An executor ends while no master leads: its end arrives, the target stands, and it is replaced.
#[tokio::test]
async fn an_application_keeps_its_targets_and_executors_through_a_failover() {
    let mut cluster = HaCluster::start(ClusterSpec::default()).await;
    let client = cluster.client();
    let folder = cluster.dir().display().to_string();
    let script =
        format!("while ! test -e {folder}/end-$MUSTER_EXECUTOR_ID; do sleep 0.02; done; echo > {folder}/done; exit 7");
    let command = Command { program: "/bin/sh".into(), args: vec!["-c".into(), script], ..Command::default() };
    let resources = Some(Resources { cores: 1, memory_bytes: 16 << 20, ..Resources::default() });
    let spec = ApplicationSpec {
        name: "kept".into(),
        template: Some(ExecutorTemplate { command: Some(command), ..ExecutorTemplate::default() }),
        profiles: vec![ExecutorProfile { resources, target: 2, ..ExecutorProfile::default() }],
        ..ApplicationSpec::default()
    };
    let request = RegisterApplicationRequest { application: Some(spec), ..RegisterApplicationRequest::default() };
    let id = client.register_application(request).await.expect("it is registered").application_id;
    let session = async || {
        let request = WatchApplicationRequest { application_id: id.clone(), ..WatchApplicationRequest::default() };
        client.watch_application(request).await.expect("the session opens")
    };
    let first_session = session().await;
    let executors = async || {
        let request = ListExecutorsRequest { application_id: id.clone(), ..ListExecutorsRequest::default() };
        client.list_executors(request).await.map(|answer| answer.executors).unwrap_or_default()
    };
    let running = |all: &[Executor]| all.iter().filter(|one| one.state() == executor::State::Running).count();
    eventually("two executors", SOON, async || (running(&executors().await) == 2).then_some(())).await;
    let first = executors().await[0].executor_id;

    for master in cluster.masters() {
        cluster.kill(&master);
    }
    std::fs::write(cluster.dir().join(format!("end-{first}")), "").expect("a file can be written");
    let done = cluster.dir().join("done");
    eventually("the end of one", SOON, async || done.exists().then_some(())).await;
    for master in cluster.masters() {
        cluster.start_master(&master);
    }
    drop(first_session);
    // Nothing is granted to an application whose session is away.
    let _session = session().await;
    let replaced = async || {
        let mut all = executors().await;
        all.retain(|one| one.state() == executor::State::Running);
        (all.len() == 2 && all.iter().all(|one| one.executor_id != first)).then_some(())
    };
    eventually("its replacement", SOON, replaced).await;
}
