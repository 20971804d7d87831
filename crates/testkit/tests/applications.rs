//! Applications: executors are granted, watched and ended; sessions break and resume; drivers own
//! applications.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_proto::v1::application_session_event::Event;
use muster_proto::v1::kill_executors_response::result::Kind;
use muster_proto::v1::{
    ApplicationSpec, Command, Executor, ExecutorProfile, ExecutorTemplate, GetApplicationRequest, KillExecutorsRequest,
    ListExecutorsRequest, ListWorkersRequest, ProfileTarget, RegisterApplicationRequest, RequestExecutorsRequest,
    Resources, UnregisterApplicationRequest, WatchApplicationRequest, WatchApplicationResponse, application, driver,
    executor, worker,
};
use muster_testkit::{Cluster, Submit, eventually};
use tokio_stream::StreamExt as _;
use tonic::Streaming;

/// One profile of one-core executors that run a shell script.
fn application(script: &str, target: u32) -> RegisterApplicationRequest {
    let command = Command { program: "/bin/sh".into(), args: vec!["-c".into(), script.into()], ..Command::default() };
    let resources = Resources { cores: 1, memory_bytes: 64 << 20, custom: BTreeMap::new() };
    let profile = ExecutorProfile { profile_id: 0, resources: Some(resources), target, ..ExecutorProfile::default() };
    let spec = ApplicationSpec {
        name: "test".into(),
        template: Some(ExecutorTemplate { command: Some(command), ..ExecutorTemplate::default() }),
        profiles: vec![profile],
        session_grace: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        ..ApplicationSpec::default()
    };
    RegisterApplicationRequest { application: Some(spec), ..RegisterApplicationRequest::default() }
}

async fn register(cluster: &Cluster, request: RegisterApplicationRequest) -> String {
    let answer = cluster.applications().register_application(request).await.expect("the application is registered");
    answer.into_inner().application.expect("the answer carries it").application_id
}

async fn open(cluster: &Cluster, id: &str) -> Streaming<WatchApplicationResponse> {
    let request = WatchApplicationRequest { application_id: id.into(), ..WatchApplicationRequest::default() };
    cluster.applications().watch_application(request).await.expect("the session opens").into_inner()
}

/// Reads the session until `done` returns true for an event. Keeps the executors that were seen, by
/// number.
async fn read_until(
    session: &mut Streaming<WatchApplicationResponse>,
    seen: &mut BTreeMap<u32, Executor>,
    mut done: impl FnMut(&BTreeMap<u32, Executor>, Option<&Event>) -> bool,
) {
    let read = async {
        loop {
            let answer = session.next().await.expect("the session goes on").expect("the session is sound");
            for executor in answer.snapshot {
                seen.insert(executor.executor_id, executor);
            }
            if done(seen, None) {
                return;
            }
            for event in answer.events {
                if let Some(executor) = event.executor {
                    seen.insert(executor.executor_id, executor);
                }
                if done(seen, event.event.as_ref()) {
                    return;
                }
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), read).await.expect("the session says it in time");
}

fn running(seen: &BTreeMap<u32, Executor>) -> usize {
    seen.values().filter(|executor| executor.state() == executor::State::Running).count()
}

async fn state_of(cluster: &Cluster, id: &str) -> application::State {
    let request = GetApplicationRequest { application_id: id.into() };
    let answer = cluster.client().get_application(request).await.expect("the application is there").into_inner();
    answer.application.expect("the answer carries it").state()
}

async fn wait_for_state(cluster: &Cluster, id: &str, state: application::State) {
    let is = async || (state_of(cluster, id).await == state).then_some(());
    eventually(&format!("{state:?} of {id}"), Duration::from_secs(30), is).await;
}

#[tokio::test]
async fn executors_run_on_both_workers_and_their_ends_arrive_with_code() {
    let cluster = Cluster::two_workers();
    // A worker that has just registered takes work once its inventory has arrived.
    let both = async || {
        let listed = cluster.client().list_workers(ListWorkersRequest::default()).await.ok()?.into_inner();
        let alive = listed.workers.iter().filter(|worker| worker.state() == worker::State::Alive);
        (alive.count() == 2).then_some(())
    };
    eventually("both workers are alive", Duration::from_secs(30), both).await;
    let id = register(&cluster, application("test {{EXECUTOR_ID}} = 2 && sleep 0.3 && exit 42; sleep 1000", 4)).await;
    let mut session = open(&cluster, &id).await;
    let mut seen = BTreeMap::new();
    let mut code = None;
    read_until(&mut session, &mut seen, |seen, event| {
        if let Some(Event::Ended(ended)) = event {
            code = ended.outcome.as_ref().and_then(|outcome| outcome.exit_code);
        }
        code.is_some() && seen.len() >= 4
    })
    .await;
    assert_eq!(code, Some(42));
    assert_eq!(seen[&2].state(), executor::State::Exited);
    let workers: std::collections::BTreeSet<_> = seen.values().map(|executor| &executor.worker).collect();
    assert_eq!(workers.len(), 2, "spread over both workers");

    // It is replaced under a number of its own.
    read_until(&mut session, &mut seen, |seen, _| running(seen) == 4).await;
    assert_eq!(*seen.keys().last().expect("there are executors"), 4);

    let request = UnregisterApplicationRequest { application_id: id.clone(), success: true, ..Default::default() };
    cluster.applications().unregister_application(request).await.expect("it is unregistered");
    wait_for_state(&cluster, &id, application::State::Finished).await;
    let all = ListExecutorsRequest { application_id: id, ..ListExecutorsRequest::default() };
    let all = cluster.client().list_executors(all).await.expect("executors are listed").into_inner().executors;
    assert!(all.iter().all(|executor| executor.end_time.is_some()), "{all:?}");
}

#[tokio::test]
async fn targets_are_absolute_and_kills_are_exact() {
    let cluster = Cluster::two_workers();
    let id = register(&cluster, application("sleep 1000", 0)).await;
    let mut session = open(&cluster, &id).await;
    let mut api = cluster.applications();
    let mut targets = async |sequence, target| {
        let target = ProfileTarget { profile_id: 0, target, ..ProfileTarget::default() };
        let request = RequestExecutorsRequest {
            application_id: id.clone(),
            sequence,
            targets: vec![target],
            ..RequestExecutorsRequest::default()
        };
        api.request_executors(request).await.expect("targets are taken").into_inner()
    };
    assert!(targets(5, 3).await.accepted);
    assert!(!targets(4, 8).await.accepted, "an older sequence is ignored");
    let mut seen = BTreeMap::new();
    read_until(&mut session, &mut seen, |seen, _| running(seen) == 3).await;

    // Lowering a target kills nothing.
    assert!(targets(6, 2).await.accepted);
    let request =
        KillExecutorsRequest { application_id: id.clone(), executor_ids: vec![1, 1, 77], ..Default::default() };
    let answer = cluster.applications().kill_executors(request).await.expect("kills are taken").into_inner();
    let kinds: Vec<_> = answer.results.iter().map(|result| result.kind()).collect();
    assert_eq!(kinds, [Kind::Killed, Kind::AlreadyGone, Kind::Unknown]);
    read_until(&mut session, &mut seen, |seen, _| seen[&1].state() == executor::State::Killed).await;
    assert_eq!(seen[&1].killed_by, "application");
    assert_eq!(running(&seen), 2);
}

#[tokio::test]
async fn a_broken_session_resumes_within_its_grace_and_ends_the_application_after_it() {
    let cluster = Cluster::two_workers();
    let id = register(&cluster, application("sleep 1000", 2)).await;
    let mut session = open(&cluster, &id).await;
    let mut seen = BTreeMap::new();
    read_until(&mut session, &mut seen, |seen, _| running(seen) == 2).await;
    drop(session);
    wait_for_state(&cluster, &id, application::State::Disconnected).await;

    let mut session = open(&cluster, &id).await;
    let mut again = BTreeMap::new();
    read_until(&mut session, &mut again, |seen, _| running(seen) == 2).await;
    assert_eq!(again.keys().collect::<Vec<_>>(), seen.keys().collect::<Vec<_>>(), "the same executors");
    wait_for_state(&cluster, &id, application::State::Running).await;
    drop(session);
    wait_for_state(&cluster, &id, application::State::Failed).await;
}

#[tokio::test]
async fn a_newer_session_cuts_the_older() {
    let cluster = Cluster::two_workers();
    let id = register(&cluster, application("sleep 1000", 1)).await;
    let mut older = open(&cluster, &id).await;
    let first = older.next().await.expect("it begins").expect("it is sound").session;
    let mut newer = open(&cluster, &id).await;
    let second = newer.next().await.expect("it begins").expect("it is sound").session;
    assert!(second > first);
    let end = async { while let Some(Ok(_)) = older.next().await {} };
    tokio::time::timeout(Duration::from_secs(10), end).await.expect("the older stream ends");
}

#[tokio::test]
async fn executors_outlive_the_master_and_the_session_is_given_its_grace_again() {
    let mut cluster = Cluster::two_workers();
    let id = register(&cluster, application("sleep 1000", 4)).await;
    let mut session = open(&cluster, &id).await;
    let mut seen = BTreeMap::new();
    read_until(&mut session, &mut seen, |seen, _| running(seen) == 4).await;
    cluster.kill_master();
    cluster.start_master();
    let mut session = open(&cluster, &id).await;
    let mut again = BTreeMap::new();
    read_until(&mut session, &mut again, |seen, _| running(seen) == 4).await;
    let pids = |seen: &BTreeMap<u32, Executor>| seen.values().map(|executor| executor.pid).collect::<Vec<_>>();
    let mut all = pids(&again);
    // Process ids arrive with the workers' inventories.
    while all.contains(&0) {
        read_until(&mut session, &mut again, |_, event| event.is_some()).await;
        all = pids(&again);
    }
    assert_eq!(all, pids(&seen), "the same processes");
}

#[tokio::test]
async fn an_application_ends_with_the_attempt_that_registered_it() {
    let cluster = Cluster::two_workers();
    let token = cluster.dir().join("token");
    let script = format!("echo $MUSTER_TOKEN > {}.part; mv {0}.part {0}; sleep 1000", token.display());
    let driver = cluster.submit(Submit::shell(&script)).await;
    cluster.wait_for_state(&driver, driver::State::Running).await;
    let read = async || std::fs::read_to_string(&token).ok();
    let token = eventually("the token", Duration::from_secs(10), read).await.trim().to_owned();

    let request = RegisterApplicationRequest { driver_token: token.clone(), ..application("sleep 1000", 2) };
    let id = register(&cluster, request).await;
    let request =
        WatchApplicationRequest { application_id: id.clone(), driver_token: token.clone(), resume_revision: 0 };
    let mut session = cluster.applications().watch_application(request).await.expect("the session opens").into_inner();
    read_until(&mut session, &mut BTreeMap::new(), |seen, _| running(seen) == 2).await;
    cluster.kill_driver(&driver).await;
    cluster.wait_for_state(&driver, driver::State::Killed).await;
    let over = async || {
        let state = state_of(&cluster, &id).await;
        matches!(state, application::State::Failed | application::State::Killed).then_some(())
    };
    eventually("the application's end", Duration::from_secs(20), over).await;
    let request = RegisterApplicationRequest { driver_token: token, ..application("true", 1) };
    let status = cluster.applications().register_application(request).await.expect_err("a closed attempt is refused");
    assert_eq!(status.code(), tonic::Code::FailedPrecondition, "{status:?}");
}

#[tokio::test]
async fn the_demo_counts_as_the_shell_does() {
    let cluster = Cluster::two_workers();
    let corpus = cluster.dir().join("corpus");
    std::fs::create_dir(&corpus).expect("a folder can be made");
    let text = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../LICENSE")).expect("the licence is there");
    for number in 0..12 {
        std::fs::write(corpus.join(format!("{number}.rs")), &text[number * 100..]).expect("a file can be written");
    }
    let program = cluster.binaries().example("word_count");
    let corpus = corpus.to_str().expect("a plain path");
    let program = program.to_str().expect("a plain path");
    let out = cluster.muster_ok(&["submit", "--id", "counter", "--wait", "--", program, corpus]);
    let shell = format!(
        "awk 1 {corpus}/*.rs | tr -cs A-Za-z '\\n' | tr A-Z a-z | grep . | sort | uniq -c | sort -k1,1nr -k2,2 | head -10"
    );
    let shell = std::process::Command::new("sh").args(["-c", &shell]).env("LC_ALL", "C").output().expect("sh runs");
    let words = |text: &str| -> Vec<(String, String)> {
        let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let pairs = lines.filter(|line| line.len() == 2 && line.iter().any(|word| word.parse::<u64>().is_ok()));
        pairs
            .map(|pair| if pair[0].parse::<u64>().is_ok() { (pair[1], pair[0]) } else { (pair[0], pair[1]) })
            .map(|(word, count)| (word.to_owned(), count.to_owned()))
            .collect()
    };
    let expected = words(&String::from_utf8_lossy(&shell.stdout));
    assert_eq!(expected.len(), 10);
    assert_eq!(words(&out), expected, "{out}");

    // Its executors end by themselves once they are told that everything is counted: none of them
    // is lost, killed or replaced.
    let heard = cluster.muster_ok(&["logs", "counter", "--stderr"]);
    let bad = ["lost", "killed", "ended with", "back off", "takes its place"];
    assert!(heard.contains("4 executors"), "{heard}");
    assert!(!bad.iter().any(|words| heard.contains(words)), "{heard}");
    let executors = cluster.muster_ok(&["list", "executors"]);
    let states: Vec<_> = executors.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert!(!states.is_empty() && states.iter().all(|state| *state == "EXITED"), "{executors}");
}
