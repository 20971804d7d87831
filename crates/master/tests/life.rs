//! The life of drivers, through real gRPC.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by failing")]

mod common;

use common::worker::{FakeWorker, exited};
use common::*;
use muster_proto::v1;
use muster_types::AttemptState;
use v1::driver::State;
use v1::link_response::Message as Down;

#[tokio::test(flavor = "multi_thread")]
async fn submit_launch_run_and_finish() {
    let master = Master::start(&[]).await;
    let mut client = master.client().await;
    let mut watch = client.watch_events(v1::WatchEventsRequest::default()).await.unwrap().into_inner();

    let submitted = submit(&mut client, "first").await;
    assert_eq!(submitted.state(), State::Pending);
    // A caller reads its own write, with the reason why the driver waits.
    let read = get(&mut client, "first").await;
    assert_eq!(read.uid, submitted.uid);
    assert_eq!(read.pending.unwrap().reasons[0].reason, "NO_WORKERS");

    let mut worker = FakeWorker::new("w1", 4);
    let mut link = worker.join(&master, &[]).await;
    let launch = link.launch().await;
    assert_eq!((launch.id.as_str(), launch.attempt.number()), ("first", 1));
    assert!(launch.token.is_some());

    let running = worker.report(&launch, AttemptState::Running);
    link.report(&[running]).await;
    let driver = until(&mut client, "first", State::Running).await;
    assert_eq!((driver.attempts[0].worker.as_str(), driver.attempts[0].pid), ("w1", 4711));

    let ended = worker.report(&launch, exited(0));
    link.report(std::slice::from_ref(&ended)).await;
    link.acknowledged(ended.sequence).await;
    let driver = get(&mut client, "first").await;
    assert_eq!(driver.state(), State::Finished);
    assert_eq!(driver.outcome.unwrap().exit_code, Some(0));

    let mut states = Vec::new();
    while states.last() != Some(&State::Finished) {
        let response = soon("an event", watch.message()).await.unwrap().unwrap();
        for event in response.events {
            if let Some(v1::event::Subject::Driver(event)) = event.subject {
                states.push(event.state());
            }
        }
    }
    assert_eq!(states, [State::Pending, State::Launching, State::Running, State::Finished]);
    master.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_is_durable_before_it_is_answered_and_killed_means_gone() {
    let master = Master::start(&[]).await;
    let mut client = master.client().await;
    let mut worker = FakeWorker::new("w1", 4);
    let mut link = worker.join(&master, &[]).await;
    submit(&mut client, "victim").await;
    let launch = link.launch().await;
    link.report(&[worker.report(&launch, AttemptState::Running)]).await;
    until(&mut client, "victim", State::Running).await;

    let request = v1::KillDriverRequest { driver_id: "victim".into(), ..Default::default() };
    let killing = client.kill_driver(request.clone()).await.unwrap().into_inner().driver.unwrap();
    assert_eq!(killing.state(), State::Killing);
    assert_eq!(link.kill().await, launch.attempt);
    let again = client.kill_driver(request).await.unwrap().into_inner().driver.unwrap();
    assert_eq!(again.state(), State::Killing);

    link.report(&[worker.report(&launch, exited(143))]).await;
    until(&mut client, "victim", State::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_reconnects_keeps_what_it_runs() {
    let master = Master::start(&[]).await;
    let mut client = master.client().await;
    let mut worker = FakeWorker::new("w1", 4);
    let mut link = worker.join(&master, &[]).await;
    submit(&mut client, "kept").await;
    let launch = link.launch().await;
    let running = worker.report(&launch, AttemptState::Running);
    link.report(std::slice::from_ref(&running)).await;
    until(&mut client, "kept", State::Running).await;

    drop(link);
    let state = async |client: &mut v1::master_service_client::MasterServiceClient<_>| {
        let request = v1::GetWorkerRequest { worker_id: "w1".into() };
        client.get_worker(request).await.unwrap().into_inner().worker.unwrap().state()
    };
    eventually("the worker is silent", async || {
        (state(&mut client).await == v1::worker::State::Disconnected).then_some(())
    })
    .await;
    let mut link = worker.join(&master, &[running]).await;
    eventually("the worker is alive", async || (state(&mut client).await == v1::worker::State::Alive).then_some(()))
        .await;
    assert_eq!(get(&mut client, "kept").await.state(), State::Running);
    let ended = worker.report(&launch, exited(7));
    link.report(std::slice::from_ref(&ended)).await;
    link.acknowledged(ended.sequence).await;
    let driver = get(&mut client, "kept").await;
    assert_eq!((driver.state(), driver.attempts.len()), (State::Failed, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_are_answered_by_number_and_a_new_stream_cuts_the_old() {
    let master = Master::start(&[]).await;
    let mut worker = FakeWorker::new("w1", 4);
    let mut first = worker.join(&master, &[]).await;
    for number in 1..=3 {
        assert_eq!(first.heartbeat(number).await, Down::HeartbeatAnswer(v1::HeartbeatAnswer { number }));
    }
    let mut second = worker.join(&master, &[]).await;
    assert_eq!(first.goodbye().await.reason(), v1::goodbye::Reason::Superseded);
    assert_eq!(second.heartbeat(1).await, Down::HeartbeatAnswer(v1::HeartbeatAnswer { number: 1 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_that_is_refused_touches_nothing() {
    let master = Master::start(&[]).await;
    let mut worker = FakeWorker::new("w1", 4);
    let mut link = worker.join(&master, &[]).await;

    let mut namesake = FakeWorker::new("w2", 4);
    namesake.hello.name = "w1".into();
    let goodbye = namesake.dial(&master).await.goodbye().await;
    assert_eq!((goodbye.reason(), goodbye.refusal.as_str()), (v1::goodbye::Reason::Refused, "NAME_TAKEN"));

    let goodbye = worker.dial_again(&master).await.goodbye().await;
    assert_eq!(goodbye.refusal, "OLD_SESSION");
    assert_eq!(link.heartbeat(1).await, Down::HeartbeatAnswer(v1::HeartbeatAnswer { number: 1 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_hears_that_what_it_sent_was_too_large() {
    let master = Master::start(&[]).await;
    let mut link = FakeWorker::new("w1", 4).join(&master, &[]).await;
    let report = v1::Report { id: "x".repeat(5 << 20), ..Default::default() };
    link.send(v1::link_request::Message::Reports(v1::Reports { reports: vec![report] })).await;
    let goodbye = link.goodbye().await;
    assert_eq!((goodbye.reason(), goodbye.refusal.as_str()), (v1::goodbye::Reason::Refused, "TOO_LARGE"));
    assert!(goodbye.message.contains("4194304"), "the limit of a link: {goodbye:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_worker_is_lost_and_its_leased_driver_runs_again_elsewhere() {
    let timing = ["--heartbeat", "50ms", "--lease", "200ms", "--margin", "50ms", "--store-lease", "50ms"];
    let master = Master::start(&timing).await;
    let mut client = master.client().await;
    let mut worker = FakeWorker::new("w1", 4);
    let mut link = worker.join(&master, &[]).await;
    let leased = v1::DriverSpec {
        on_worker_lost: v1::WorkerLostPolicy::Rerun.into(),
        restart: Some(v1::RestartPolicy {
            condition: v1::RestartCondition::Always.into(),
            backoff_initial: Some(prost_types::Duration { seconds: 0, nanos: 1_000_000 }),
            ..Default::default()
        }),
        ..sleeper()
    };
    let request = v1::SubmitDriverRequest { driver: Some(leased), driver_id: "moved".into(), ..Default::default() };
    client.submit_driver(request).await.unwrap();
    let first = link.launch().await;
    assert!(first.leased);
    // The worker is never heard again, although its stream is open.
    let mut other = FakeWorker::new("w2", 4);
    let mut elsewhere = other.join(&master, &[]).await;
    let beating = async {
        for number in 1.. {
            elsewhere.heartbeat(number).await;
            if elsewhere.has_command() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    soon("the driver is launched elsewhere", beating).await;
    let second = elsewhere.launch().await;
    assert_eq!((second.id.as_str(), second.attempt.number()), ("moved", 2));
    let mut late = link;
    assert_eq!(late.goodbye_after_heartbeat(1).await.reason(), v1::goodbye::Reason::SayHello);
}
