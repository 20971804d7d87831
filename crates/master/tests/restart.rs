//! A master that stops and starts again on the same records.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by failing")]

mod common;

use std::path::Path;
use std::time::Duration;

use common::worker::{FakeWorker, exited};
use common::*;
use muster_proto::v1;
use muster_store::{AnyCandidate, Candidacy, Location, NewCluster};
use muster_testenv::SmallDisk;
use muster_types::{AttemptState, WallTime};
use tonic::Code;
use v1::driver::State;

/// Opens the store in a directory, or creates it.
async fn open(store: &Path) -> AnyCandidate {
    let new_cluster = NewCluster { name: "test".into(), is_name_default: true, now: WallTime(1) };
    let candidacy = Candidacy::new(String::new(), String::new(), Duration::from_secs(3));
    muster_store::open(&Location::Embedded(store.to_owned()), new_cluster, candidacy).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_it_says_goodbye_on_every_stream_and_ends_in_time() {
    let master = Master::start(&[]).await;
    let mut client = master.client().await;
    let mut watch = client.watch_events(v1::WatchEventsRequest::default()).await.unwrap().into_inner();
    soon("the first bookmark", watch.message()).await.unwrap();
    let mut link = FakeWorker::new("w1", 4).join(&master, &[]).await;

    let began = std::time::Instant::now();
    master.stop().await.unwrap();
    assert!(began.elapsed() < std::time::Duration::from_secs(4));
    assert_eq!(link.goodbye().await.reason(), v1::goodbye::Reason::Shutdown);
    let status = loop {
        match soon("the watch ends", watch.message()).await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("ended without a word"),
            Err(status) => break status,
        }
    };
    assert_failure(&status, Code::Unavailable, "GOING_AWAY");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_starts_again_on_the_same_store_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let master = Master::start_on(open(&store).await, &[]).await;
    let mut client = master.client().await;
    let mut worker = FakeWorker::new("w1", 1);
    let mut link = worker.join(&master, &[]).await;
    submit(&mut client, "runs").await;
    let launch = link.launch().await;
    let running = worker.report(&launch, AttemptState::Running);
    link.report(std::slice::from_ref(&running)).await;
    until(&mut client, "runs", State::Running).await;
    submit(&mut client, "waits").await;
    let list = client.list_drivers(v1::ListDriversRequest::default()).await.unwrap().into_inner();
    let before = client.get_cluster(v1::GetClusterRequest {}).await.unwrap().into_inner().cluster.unwrap();
    master.stop().await.unwrap();
    drop(link);

    let master = Master::start_on(open(&store).await, &[]).await;
    let mut client = master.client().await;
    let after = client.get_cluster(v1::GetClusterRequest {}).await.unwrap().into_inner().cluster.unwrap();
    assert_eq!((&after.uid, &after.name), (&before.uid, &before.name));
    assert_ne!(after.epoch, before.epoch);
    assert_eq!(after.unconfirmed_workers, 1);
    assert_eq!(get(&mut client, "runs").await.state(), State::Unconfirmed);
    assert_eq!(get(&mut client, "waits").await.state(), State::Pending);
    // A watch resumes from a token of the earlier term.
    let resumed = v1::WatchEventsRequest { resume_token: list.resume_token, ..Default::default() };
    let mut watch = client.watch_events(resumed).await.unwrap().into_inner();

    let mut link = worker.join(&master, &[running]).await;
    until(&mut client, "runs", State::Running).await;
    let ended = worker.report(&launch, exited(0));
    link.report(std::slice::from_ref(&ended)).await;
    link.acknowledged(ended.sequence).await;
    assert_eq!(get(&mut client, "runs").await.state(), State::Finished);
    let next = link.launch().await;
    assert_eq!((next.id.as_str(), next.attempt.number()), ("waits", 1));
    eventually("the watch has seen the end", async || {
        let response = watch.message().await.unwrap().unwrap();
        response.events.iter().find_map(|event| match &event.subject {
            Some(v1::event::Subject::Driver(driver)) if driver.state() == State::Finished => Some(()),
            _ => None,
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_knows_every_service_that_reflection_lists() {
    use tonic_health::pb::health_check_response::ServingStatus;
    let master = Master::start(&[]).await;
    let mut health = tonic_health::pb::health_client::HealthClient::new(master.channel().await);
    let mut names = vec![String::new(), "liveness".to_owned(), "readiness".to_owned()];
    use tonic_reflection::pb::v1 as v1_reflection;
    use v1_reflection::server_reflection_request::MessageRequest;
    use v1_reflection::server_reflection_response::MessageResponse;
    let ask = v1_reflection::ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..Default::default()
    };
    let mut client = v1_reflection::server_reflection_client::ServerReflectionClient::new(master.channel().await);
    let mut answers = client.server_reflection_info(tokio_stream::iter([ask])).await.unwrap().into_inner();
    let answer = soon("an answer", answers.message()).await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(listed)) = answer.message_response else { panic!("{answer:?}") };
    names.extend(listed.service.into_iter().map(|service| service.name));
    for name in ["muster.v1.MasterService", "muster.v1.WorkerLinkService", "grpc.health.v1.Health"] {
        assert!(names.iter().any(|listed| listed == name), "{names:?}");
    }
    for name in names {
        let answer = health.check(tonic_health::pb::HealthCheckRequest { service: name.clone() }).await;
        let status = answer.unwrap_or_else(|status| panic!("{name}: {status}")).into_inner().status();
        assert_eq!(status, ServingStatus::Serving, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_whose_disk_is_full_takes_nothing_new_and_goes_on_once_there_is_room() {
    let Some(disk) = SmallDisk::mount(24 << 10) else { return };
    let store = disk.path().join("store");
    let master = Master::start_on(open(&store).await, &[]).await;
    let mut client = master.client().await;
    let mut worker = FakeWorker::new("w1", 1);
    let mut link = worker.join(&master, &[]).await;
    submit(&mut client, "runs").await;
    let launch = link.launch().await;
    let running = worker.report(&launch, AttemptState::Running);
    link.report(std::slice::from_ref(&running)).await;
    until(&mut client, "runs", State::Running).await;

    disk.fill(0);
    assert_full(&mut client).await;
    assert_eq!(get(&mut client, "runs").await.state(), State::Running, "reads go on");
    disk.make_room();
    eventually("a submission is taken", async || client.submit_driver(request("second")).await.ok()).await;
    client.submit_driver(request("first")).await.unwrap();
    let refused = client.get_driver(v1::GetDriverRequest { driver_id: "refused".into() }).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    let ended = worker.report(&launch, exited(0));
    link.report(std::slice::from_ref(&ended)).await;
    link.acknowledged(ended.sequence).await;
    master.stop().await.unwrap();
    let master = Master::start_on(open(&store).await, &[]).await;
    let mut client = master.client().await;
    assert_eq!(get(&mut client, "runs").await.state(), State::Finished);
    for id in ["first", "second"] {
        get(&mut client, id).await;
    }
    master.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_starts_on_a_full_disk_and_goes_on_once_there_is_room() {
    let Some(disk) = SmallDisk::mount(24 << 10) else { return };
    let store = disk.path().join("store");
    let master = Master::start_on(open(&store).await, &[]).await;
    let mut client = master.client().await;
    let mut worker = FakeWorker::new("w1", 1);
    let mut link = worker.join(&master, &[]).await;
    submit(&mut client, "runs").await;
    let launch = link.launch().await;
    let running = worker.report(&launch, AttemptState::Running);
    link.report(std::slice::from_ref(&running)).await;
    until(&mut client, "runs", State::Running).await;
    master.stop().await.unwrap();

    // Others have taken the last of the room, or left a page.
    for left in [0, 4_096, 0] {
        disk.fill(left);
        let master = Master::start_on(open(&store).await, &[]).await;
        let mut client = master.client().await;
        let _link = worker.join(&master, std::slice::from_ref(&running)).await;
        // The first record that finds the store full is done once there is room: that of the
        // worker, or the submission.
        let first = client.submit_driver(request("perhaps")).await.unwrap_err();
        assert!(matches!(first.code(), Code::Unknown | Code::ResourceExhausted), "{first:?}");
        assert_refused(&mut client).await;
        // That the worker has come back is a record as well.
        assert_eq!(get(&mut client, "runs").await.state(), State::Unconfirmed, "reads go on");
        master.stop().await.unwrap();
    }
    let master = Master::start_on(open(&store).await, &[]).await;
    let mut client = master.client().await;
    let mut link = worker.join(&master, std::slice::from_ref(&running)).await;
    disk.make_room();
    eventually("a submission is taken", async || client.submit_driver(request("second")).await.ok()).await;
    let ended = worker.report(&launch, exited(0));
    link.report(std::slice::from_ref(&ended)).await;
    link.acknowledged(ended.sequence).await;
    until(&mut client, "runs", State::Finished).await;
    master.stop().await.unwrap();
}

/// Asserts that a store is full, where no submission has found it so yet.
async fn assert_full(client: &mut Client) {
    // The first request finds the store full on its way there. It is never refused, because it is
    // done once there is room.
    for _ in 0..3 {
        let status = client.submit_driver(request("first")).await.unwrap_err();
        assert_failure(&status, Code::Unknown, "OUTCOME_UNKNOWN");
    }
    assert_refused(client).await;
}

async fn assert_refused(client: &mut Client) {
    for _ in 0..3 {
        let status = client.submit_driver(request("refused")).await.unwrap_err();
        assert_failure(&status, Code::ResourceExhausted, "STORE_FULL");
    }
}

fn request(id: &str) -> v1::SubmitDriverRequest {
    v1::SubmitDriverRequest {
        driver: Some(sleeper()),
        driver_id: id.to_owned(),
        request_id: format!("request-{id}"),
        ..Default::default()
    }
}
