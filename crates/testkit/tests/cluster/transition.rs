//! A cluster without credentials is given them while its programs run: masters first, one after the
//! other, then agents with a token, then masters without plaintext.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use muster_proto::v1::driver::State;
use muster_proto::v1::{
    ApplicationSpec, Command as Program, ExecutorProfile, ExecutorTemplate, ListDriversRequest, Resources,
    WatchLeaderRequest, Worker, executor, worker,
};
use muster_sdk::{Application, ApplicationSession, Context, SessionEvent};
use muster_testkit::{ClusterSpec, HaCluster, Submit, eventually, said, wait_for_file};
use muster_types::Secret;

use crate::pair::{both_end, both_go_on, on_the_first_worker};

const BOUND: Duration = Duration::from_secs(60);

/// As a program has it that was started before there was a CA.
fn context_of(cluster: &HaCluster, driver: &str, token: &str) -> Context {
    Context {
        masters: cluster.addresses().parse().expect("addresses"),
        trust: None,
        cluster: "muster".to_owned(),
        worker: "w1".to_owned(),
        host: "127.0.0.1".to_owned(),
        driver: Some(driver.to_owned()),
        attempt: None,
        token: Some(Secret::new(token.to_owned())),
        bearer: None,
        trace: None,
        application: None,
        executor: None,
        work_dir: None,
        cores: 1,
        memory: 1 << 30,
    }
}

fn two_sleepers() -> ApplicationSpec {
    let command = Program { program: "/bin/sleep".into(), args: vec!["1000".into()], ..Program::default() };
    let resources = Resources { cores: 1, memory_bytes: 16 << 20, custom: BTreeMap::new() };
    let profile = ExecutorProfile { resources: Some(resources), target: 2, ..ExecutorProfile::default() };
    ApplicationSpec {
        name: "before".into(),
        template: Some(ExecutorTemplate { command: Some(command), ..ExecutorTemplate::default() }),
        profiles: vec![profile],
        session_grace: Some(prost_types::Duration { seconds: 30, nanos: 0 }),
        ..ApplicationSpec::default()
    }
}

/// Reads until this many executors run in all, and returns their numbers. None may end.
async fn running(
    session: &mut ApplicationSession,
    seen: &mut BTreeMap<u32, executor::State>,
    count: usize,
) -> BTreeSet<u32> {
    let read = async {
        while seen.values().filter(|state| **state == executor::State::Running).count() < count {
            let executors = match session.next().await.expect("the session stands").expect("the application goes on") {
                // What is not in it has ended.
                SessionEvent::State(executors) => {
                    assert!(seen.keys().all(|known| executors.iter().any(|executor| executor.executor_id == *known)));
                    executors
                }
                SessionEvent::Event(event) => event.executor.into_iter().collect(),
            };
            seen.extend(executors.into_iter().map(|executor| (executor.executor_id, executor.state())));
            assert!(!seen.values().any(|state| *state == executor::State::Exited), "{seen:?}");
        }
    };
    tokio::time::timeout(BOUND, read).await.expect("they run in time");
    seen.keys().copied().collect()
}

/// Waits until every master knows of all three. Each says it in the clear, before and meanwhile.
async fn all_stand(cluster: &HaCluster) {
    for master in cluster.masters() {
        let look = async || {
            let mut said = cluster.plain(&master).watch_leader(WatchLeaderRequest {}).await.ok()?.into_inner();
            let first = said.message().await.ok()??;
            (first.masters.len() == 3 && !first.leader.is_empty()).then_some(())
        };
        eventually(&format!("{master} to know all masters"), BOUND, look).await;
    }
}

/// Starts every master anew, those that stand by first.
async fn restart_masters(cluster: &mut HaCluster) {
    let (leader, _) = cluster.leader().await;
    let standbys = cluster.masters().into_iter().filter(|name| *name != leader);
    for master in standbys.chain([leader.clone()]).collect::<Vec<_>>() {
        cluster.terminate(&master);
        cluster.start_master(&master);
        all_stand(cluster).await;
    }
}

fn has_certificate(worker: &Worker) -> bool {
    worker.state() == worker::State::Alive && !worker.key_digest.is_empty()
}

fn muster(cluster: &HaCluster, bundle: &Path, args: &[&str]) -> String {
    let mut command = Command::new(cluster.binaries().path("muster"));
    command.args(["--master", &cluster.addresses(), "--ca"]).arg(bundle.join("ca.crt"));
    let output = command.arg("--token-file").arg(bundle.join("admin.token")).args(args).output().expect("it runs");
    assert!(output.status.success(), "{args:?}: {}", said(&output));
    String::from_utf8(output.stdout).expect("it is text")
}

#[tokio::test]
async fn a_cluster_is_given_credentials_while_its_programs_run() {
    let mut cluster = on_the_first_worker(ClusterSpec { tls: false, ..ClusterSpec::default() }).await;
    let token_file = cluster.dir().join("driver.token");
    let script = format!("echo $MUSTER_TOKEN > {}; exec sleep 1000", token_file.display());
    let driver = cluster.submit(Submit::shell(&script).id("owns")).await;
    let context = context_of(&cluster, &driver, &wait_for_file(&token_file, BOUND));
    let application = Application::register(&context, two_sleepers()).await.expect("it is registered");
    let mut session = application.open_session();
    let mut seen = BTreeMap::new();
    let before = running(&mut session, &mut seen, 2).await;

    let bundle = cluster.prepare_credentials(&["--plaintext-transition"]);
    restart_masters(&mut cluster).await;
    assert!(cluster.log("m1").contains("--plaintext-transition"), "it is loud");
    // Nobody else is taken in the clear.
    let (leader, _) = cluster.leader().await;
    let refused = cluster.plain(&leader).list_drivers(ListDriversRequest::default()).await.expect_err("it is refused");
    assert_eq!(muster_proto::errors::reason_of(&refused).as_deref(), Some("NO_CREDENTIAL"));
    cluster.call_as_admin(&bundle);
    both_go_on(&cluster).await;
    // The program steers its application as before.
    assert!(application.request_executors(&BTreeMap::from([(0, 3)])).await.expect("it is taken"));
    let during = running(&mut session, &mut seen, 3).await;
    assert!(during.is_superset(&before) && during.len() == 3, "{during:?} after {before:?}");
    let shown = muster(&cluster, &bundle, &["cluster"]);
    assert!(shown.contains("--plaintext-transition") && shown.contains("of 2 workers"), "{shown}");

    let join = cluster.dir().join("join.token");
    std::fs::write(&join, muster(&cluster, &bundle, &["token", "create", "--worker", "--name", "lab"]).trim())
        .expect("a file can be written");
    cluster.add_worker_args(&["--token-file", join.to_str().expect("a path")]);
    for worker in ["w1", "w2"] {
        cluster.terminate(worker);
        cluster.start_worker(worker);
        cluster.wait_for_worker(worker, "its certificate", has_certificate).await;
    }
    let shown = muster(&cluster, &bundle, &["cluster"]);
    assert!(shown.contains("of 0 workers"), "{shown}");
    both_go_on(&cluster).await;
    application.unregister(true, "done").await.expect("it ends in the clear");

    cluster.without_master_arg("--plaintext-transition");
    restart_masters(&mut cluster).await;
    assert!(!muster(&cluster, &bundle, &["cluster"]).contains("plaintext"), "no notice is left");
    for worker in ["w1", "w2"] {
        cluster.wait_for_worker(worker, "life", has_certificate).await;
    }
    let driver = cluster.wait_for_state("owns", State::Running).await;
    assert_eq!(driver.attempts.len(), 1, "{driver:?}");
    both_go_on(&cluster).await;
    both_end(&cluster, 1).await;
}
