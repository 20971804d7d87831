//! How a term ends, and what goes on meanwhile.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by failing")]

mod common;

use common::gated::Gated;
use common::worker::FakeWorker;
use common::*;
use muster_proto::v1;
use muster_store::Candidate;
use tonic::Code;
use v1::driver::State;
use v1::link_response::Message as Down;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_deposed_master_had_not_done_is_done_by_the_next_term_and_once() {
    let candidate = memory();
    let mut rival = candidate.clone();
    let master = Master::start_on(candidate, &[]).await;
    let mut client = master.client().await;
    submit(&mut client, "before").await;
    let mut worker = FakeWorker::new("w1", 1);
    let mut link = worker.join(&master, &[]).await;
    let launch = link.launch().await;
    let epoch = async |client: &mut Client| {
        let cluster = client.get_cluster(v1::GetClusterRequest {}).await.ok()?.into_inner().cluster?;
        Some(cluster.epoch)
    };
    assert_eq!(epoch(&mut client).await.as_deref(), Some("1.1"));

    // Another term begins: the next commit fails its guard. Nothing was done, so the call is held
    // until this master leads again.
    rival.campaign().await.unwrap();
    let request = v1::SubmitDriverRequest { driver: Some(sleeper()), driver_id: "held".into(), ..Default::default() };
    client.submit_driver(request.clone()).await.unwrap();
    assert_eq!(link.goodbye().await.reason(), v1::goodbye::Reason::SayHello);

    eventually("it leads again", async || epoch(&mut client).await.filter(|epoch| epoch == "1.3")).await;
    assert_failure(&client.submit_driver(request).await.unwrap_err(), Code::AlreadyExists, "ALREADY_EXISTS");
    assert_eq!(get(&mut client, "before").await.state(), State::Unconfirmed);
    // The worker's journal never accepted the launch, so it is sent again, with the same number.
    let mut link = worker.join(&master, &[]).await;
    assert_eq!(link.launch().await.attempt, launch.attempt);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_and_a_read_never_wait_behind_a_commit() {
    let (store, mut gate) = Gated::new();
    let master = Master::start_on(store, &[]).await;
    let mut client = master.client().await;
    submit(&mut client, "known").await;
    let mut link = FakeWorker::new("w1", 1).join(&master, &[]).await;
    link.launch().await;

    gate.close();
    let mut stuck = client.clone();
    let waiting = tokio::spawn(async move { submit(&mut stuck, "stuck").await });
    gate.holds().await;
    assert_eq!(link.heartbeat(1).await, Down::HeartbeatAnswer(v1::HeartbeatAnswer { number: 1 }));
    let drivers = client.list_drivers(v1::ListDriversRequest::default()).await.unwrap().into_inner().drivers;
    assert_eq!(drivers.len(), 1, "what is not committed is not shown");
    gate.open();
    soon("the commit", waiting).await.unwrap();
    assert_eq!(get(&mut client, "stuck").await.driver_id, "stuck");
}
