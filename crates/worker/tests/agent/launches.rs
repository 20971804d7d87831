//! Commands on their way to the runner, and reports on their way up.

use std::sync::Arc;
use std::time::Duration;

use muster_agent::runner_protocol::{
    Kill, KillReason, ProcessCredentials, ToRunner, VERSION, VERSION_WITH_CREDENTIALS,
};
use muster_testenv::lacks;
use muster_types::*;
use muster_worker::accounts::Account;

use crate::stage::*;

#[tokio::test]
async fn a_launch_is_accepted_prepared_started_reported_and_closed() {
    let mut stage = Stage::set();
    let mut master = Master::lead(5).await;
    stage.start(&master);
    let (mut stream, mut talk) = stage.register(&mut master, vec![]).await;
    stream.launch(launch(driver(1)));
    let start = talk.start().await;
    assert_eq!((start.program.program.as_str(), start.program.args.as_slice()), ("/bin/echo", &["hi".to_owned()][..]));
    assert_eq!((start.limits.memory, start.limits.cpu_millis), (Some(1 << 20), Some(1_000)));
    assert_eq!(start.limits.pids, Some(4_096 + 1_024));
    let env = |name: &str| start.program.env.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    assert_eq!(env("MUSTER_MASTER"), Some(master.address.clone()));
    assert_eq!(env("MUSTER_CLUSTER").as_deref(), Some("test"));
    assert!(std::path::Path::new(&start.program.work_dir).is_dir());
    assert_eq!(stream.reports().await, [report(driver(1), 1, AttemptState::Accepted)]);
    talk.report(report(driver(1), 2, AttemptState::Running)).await;
    assert_eq!(stream.reports().await, [report(driver(1), 2, AttemptState::Running)]);
    let end = ended(driver(1), 3);
    talk.report(end.clone()).await;
    assert_eq!(stream.reports().await, std::slice::from_ref(&end));
    stream.acknowledge(&end);
    let closed = Acknowledgement { attempt: driver(1), sequence: 3 };
    assert_eq!(talk.next().await, Some(ToRunner::Closed(closed)));
}

/// A runner of an earlier version would start it as itself.
#[tokio::test]
async fn a_program_of_an_account_is_never_started_by_a_runner_that_knows_of_no_users() {
    let own = rustix::process::geteuid();
    if lacks("root", own.is_root()) {
        return;
    }
    let credentials = ProcessCredentials { uid: own.as_raw(), gid: own.as_raw(), groups: Vec::new() };
    for version in [VERSION_WITH_CREDENTIALS - 1, VERSION] {
        let mut stage = Stage::set();
        let mut master = Master::lead(5).await;
        let account = Account { name: "somebody".into(), home: "/home".into(), credentials: credentials.clone() };
        let config = stage.config(&master);
        stage.start_with(muster_worker::config::WorkerConfig { accounts: account.into(), ..config });
        let talk = stage.runner.adopted_with(incarnation(), version).await;
        let (stream, mut talk) = stage.register_by(talk, &mut master, vec![]).await;
        stream.launch(launch(driver(1)));
        if version >= VERSION_WITH_CREDENTIALS {
            assert_eq!(talk.start().await.program.credentials, Some(credentials.clone()));
            continue;
        }
        let message = loop {
            match talk.next().await.expect("the agent goes on") {
                ToRunner::Abandon(attempt, outcome) if attempt == driver(1) => break outcome,
                ToRunner::Start(start) => panic!("it was started: {start:?}"),
                _ => {}
            }
        };
        assert_eq!((message.reason, message.fault), (Reason::Refused, Fault::Platform));
        assert!(message.message.starts_with("RUNNER_TOO_OLD"), "{message:?}");
    }
}

#[tokio::test]
async fn an_end_that_was_not_acknowledged_arrives_again_through_a_restart() {
    let mut stage = Stage::set();
    let mut master = Master::lead(5).await;
    stage.start(&master);
    let (mut stream, mut talk) = stage.register(&mut master, vec![report(driver(1), 2, AttemptState::Running)]).await;
    let end = ended(driver(1), 3);
    talk.report(end.clone()).await;
    assert_eq!(stream.reports().await, std::slice::from_ref(&end));
    stage.stop().await;
    stage.start(&master);
    let mut talk = stage.runner.adopted().await;
    let mut stream = master.hello().await;
    stream.welcome();
    talk.answer_inventory(vec![end.clone()]).await;
    assert_eq!(stream.inventory().await, std::slice::from_ref(&end));
    stream.acknowledge(&end);
    let closed = Acknowledgement { attempt: driver(1), sequence: 3 };
    assert_eq!(talk.next().await, Some(ToRunner::Closed(closed)));
}

#[tokio::test]
async fn the_inventory_is_asked_behind_every_command_of_the_older_stream() {
    let mut stage = Stage::set();
    let mut master = Master::lead(5).await;
    stage.start(&master);
    let (stream, mut talk) = stage.register(&mut master, vec![]).await;
    for attempt in 1..=20 {
        stream.launch(launch(driver(attempt)));
    }
    stream.goodbye(muster_proto::v1::goodbye::Reason::SayHello, "", "");
    let stream = master.hello().await;
    stream.welcome();
    let mut accepted = 0;
    loop {
        match talk.next().await.expect("the agent stands") {
            ToRunner::Accept(_) => accepted += 1,
            ToRunner::Start(_) => {}
            ToRunner::Inventory(_) => break,
            other => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!(accepted, 20);
}

#[tokio::test]
async fn a_launch_that_cannot_be_prepared_ends_with_its_reason() {
    let mut stage = Stage::set();
    let mut master = Master::lead(5).await;
    stage.start(&master);
    let (stream, mut talk) = stage.register(&mut master, vec![]).await;
    let uri = "http://127.0.0.1:1/tool".to_owned();
    let artifact =
        Artifact { uri: ArtifactUri::new(uri.clone()), sha256: None, file_name: "tool".into(), executable: true };
    let unknown = Command { program: "{{NOPE}}".into(), ..Command::default() };
    stream.launch(Launch { artifacts: Arc::new([artifact]), ..launch(driver(1)) });
    stream.launch(Launch { command: Arc::new(unknown), ..launch(driver(2)) });
    let mut abandoned = std::collections::BTreeMap::new();
    while abandoned.len() < 2 {
        match talk.next().await.expect("the agent stands") {
            ToRunner::Accept(_) => {}
            ToRunner::Abandon(attempt, outcome) => {
                abandoned.insert(attempt, outcome);
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!(abandoned[&driver(1)].reason, Reason::ArtifactFailed);
    assert!(abandoned[&driver(1)].message.contains(&uri));
    assert_eq!(abandoned[&driver(2)].reason, Reason::UnknownVariable);
}

#[tokio::test]
async fn a_kill_while_artifacts_are_fetched_keeps_the_attempt_from_starting() {
    let mut stage = Stage::set();
    let mut master = Master::lead(5).await;
    stage.start(&master);
    let (stream, mut talk) = stage.register(&mut master, vec![]).await;
    // A server that takes the request and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let uri = format!("http://{}/tool", silent.local_addr().expect("an address"));
    let artifact = Artifact { uri: ArtifactUri::new(uri), sha256: None, file_name: "tool".into(), executable: false };
    stream.launch(Launch { artifacts: Arc::new([artifact]), ..launch(driver(1)) });
    let Some(ToRunner::Accept(_)) = talk.next().await else { panic!("accepted") };
    let (fetching, _) = soon("a request", silent.accept()).await.expect("accepted");
    stream.command(&[WorkerCommand::Kill { attempt: driver(1), at_once: false, by: KilledBy::Operator }]);
    let kill = Kill { attempt: driver(1), at_once: false, grace: None, reason: KillReason::By(KilledBy::Operator) };
    assert_eq!(talk.next().await, Some(ToRunner::Kill(kill)));
    drop(fetching);
    // The next start is of the next launch: the first is never heard of again.
    stream.launch(launch(driver(2)));
    assert_eq!(talk.start().await.accepted.attempt, driver(2));
}

#[tokio::test]
async fn what_was_killed_while_it_fetched_keeps_no_other_from_fetching() {
    let mut stage = Stage::set();
    let mut master = Master::lead(5).await;
    // No heartbeat comes while the test runs, so none needs an answer.
    master.heartbeat = Duration::from_secs(20);
    stage.start(&master);
    let (stream, mut talk) = stage.register(&mut master, vec![]).await;
    // A server that begins to answer and falls silent.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let uri = format!("http://{}/tool", silent.local_addr().expect("an address"));
    let mut connections = Vec::new();
    for number in 1..=4 {
        let uri = ArtifactUri::new(uri.clone());
        let artifact = Artifact { uri, sha256: None, file_name: "tool".into(), executable: false };
        stream.launch(Launch { artifacts: Arc::new([artifact]), ..launch(driver(number)) });
        let Some(ToRunner::Accept(_)) = talk.next().await else { panic!("accepted") };
        let (mut connection, _) = soon("a request", silent.accept()).await.expect("accepted");
        let begun = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello";
        tokio::io::AsyncWriteExt::write_all(&mut connection, begun).await.expect("sent");
        connections.push(connection);
        let part = stage.path("work").join(driver(number).to_string()).join("tool");
        let has_begun = async {
            while std::fs::metadata(&part).map_or(0, |part| part.len()) < 5 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        soon("what was sent", has_begun).await;
    }
    for number in 1..=4 {
        let attempt = driver(number);
        stream.command(&[WorkerCommand::Kill { attempt, at_once: false, by: KilledBy::Operator }]);
        let Some(ToRunner::Kill(_)) = talk.next().await else { panic!("killed") };
    }
    let file = stage.path("tool");
    std::fs::write(&file, "content").expect("written");
    let uri = ArtifactUri::new(format!("file://{}", file.display()));
    let artifact = Artifact { uri, sha256: None, file_name: "tool".into(), executable: false };
    stream.launch(Launch { artifacts: Arc::new([artifact]), ..launch(driver(5)) });
    // Well before the silent server counts as failed.
    let start = tokio::time::timeout(Duration::from_secs(30), talk.start()).await.expect("it need not wait");
    assert_eq!(start.accepted.attempt, driver(5));
}

#[tokio::test]
async fn a_launch_that_is_known_is_only_asked_about() {
    let mut stage = Stage::set();
    let mut master = Master::lead(5).await;
    stage.start(&master);
    let (stream, mut talk) = stage.register(&mut master, vec![report(driver(1), 2, AttemptState::Running)]).await;
    stream.launch(launch(driver(1)));
    let Some(ToRunner::Accept(accepted)) = talk.next().await else { panic!("asked about") };
    assert_eq!(accepted.attempt, driver(1));
    stream.launch(launch(driver(2)));
    assert_eq!(talk.start().await.accepted.attempt, driver(2));
    assert!(!stage.path("work").join(driver(1).to_string()).exists());
}

#[tokio::test]
async fn commands_for_another_incarnation_are_dropped() {
    let mut stage = Stage::set();
    let mut master = Master::lead(5).await;
    stage.start(&master);
    let (stream, mut talk) = stage.register(&mut master, vec![]).await;
    let older = Incarnation { counter: 2, random: 2 };
    let commands = [WorkerCommand::Launch(Arc::new(launch(driver(1))))];
    let wire = muster_proto::v1::Commands::of(older, &commands);
    stream.say(muster_proto::v1::link_response::Message::Commands(wire));
    stream.launch(launch(driver(2)));
    assert_eq!(talk.start().await.accepted.attempt, driver(2));
}

#[tokio::test]
async fn a_scratch_directory_goes_with_its_application_and_last_executor() {
    let mut stage = Stage::set();
    let mut master = Master::lead(5).await;
    stage.start(&master);
    let (stream, mut talk) = stage.register(&mut master, vec![]).await;
    let application = ApplicationUid(0xA);
    let executor = AttemptKey::Executor(application, ExecutorId(0));
    stream.launch(launch(executor));
    let start = talk.start().await;
    let scratch = start.program.env.iter().find(|(name, _)| name == "MUSTER_SCRATCH_DIR").map(|(_, path)| path.clone());
    let scratch = std::path::PathBuf::from(scratch.expect("told"));
    talk.report(report(executor, 2, AttemptState::Running)).await;
    stream.command(&[WorkerCommand::ApplicationGone(application)]);
    stream.launch(launch(driver(2)));
    talk.start().await;
    assert!(scratch.is_dir(), "an executor still runs");
    talk.report(ended(executor, 3)).await;
    soon("its removal", async {
        while scratch.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}
