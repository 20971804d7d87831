//! A standby answers like the leader.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by failing")]

mod common;

use std::time::Duration;

use common::follower::Follower;
use common::gated::Gated;
use common::heir::Heir;
use common::*;
use muster_proto::v1;
use tokio::net::TcpListener;
use tonic::Code;
use v1::driver::State;

async fn watch_leader(client: &mut Client) -> tonic::Streaming<v1::WatchLeaderResponse> {
    client.watch_leader(v1::WatchLeaderRequest {}).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn any_master_takes_a_call_and_names_the_others() {
    let leader = Master::start(&[]).await;
    let (follower, control) = Follower::new();
    control.lead(&leader.address, 1);
    let standby = Master::start_on(follower, &[]).await;
    let mut client = standby.client().await;
    submit(&mut client, "through").await;
    assert_eq!(get(&mut leader.client().await, "through").await.state(), State::Pending);

    let answer = client.get_cluster(v1::GetClusterRequest {}).await.unwrap();
    let masters = answer.metadata().get("muster-masters").unwrap().to_str().unwrap().to_owned();
    assert_eq!(masters, format!("{},follower:1", leader.address));
    assert_eq!(answer.into_inner().cluster.unwrap().leader, leader.address);
    // An error comes from the leader, with all its details.
    let status = client.get_driver(v1::GetDriverRequest { driver_id: "nobody".into() }).await.unwrap_err();
    assert_failure(&status, Code::NotFound, "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_through_and_ends_with_its_leader() {
    let leader = Master::start(&[]).await;
    let (follower, control) = Follower::new();
    control.lead(&leader.address, 1);
    let standby = Master::start_on(follower, &[]).await;
    let mut client = standby.client().await;
    let request = v1::WatchEventsRequest { from_oldest: true, ..Default::default() };
    let mut events = client.watch_events(request).await.unwrap().into_inner();
    submit(&mut client, "seen").await;
    let seen = soon("the event", async {
        loop {
            let response = events.message().await.unwrap().unwrap();
            if let Some(event) = response.events.into_iter().next() {
                return event;
            }
        }
    })
    .await;
    assert!(matches!(seen.subject, Some(v1::event::Subject::Driver(_))));
    control.vacate();
    let status = soon("the end", async {
        loop {
            match events.message().await {
                Ok(Some(_)) => {}
                other => return other.unwrap_err(),
            }
        }
    })
    .await;
    assert_failure(&status, Code::Unavailable, "GOING_AWAY");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_goes_away_says_so_on_what_it_relays() {
    let leader = Master::start(&[]).await;
    let (follower, control) = Follower::new();
    control.lead(&leader.address, 1);
    let standby = Master::start_on(follower, &[]).await;
    let request = v1::WatchEventsRequest::default();
    let mut events = standby.client().await.watch_events(request).await.unwrap().into_inner();
    soon("the bookmark", events.message()).await.unwrap().unwrap();
    let ends = soon("the end", async {
        loop {
            match events.message().await {
                Ok(Some(_)) => {}
                other => return other.unwrap_err(),
            }
        }
    });
    let (stopped, status) = tokio::join!(standby.stop(), ends);
    stopped.unwrap();
    assert_failure(&status, Code::Unavailable, "GOING_AWAY");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_held_until_somebody_leads_and_not_for_ever() {
    let (follower, control) = Follower::new();
    let leader = Master::start(&[]).await;
    control.lead(&leader.address, 1);
    let standby = Master::start_on(follower, &[]).await;
    let mut client = standby.client().await;
    control.vacate();
    let mut waiting = client.clone();
    let held = tokio::spawn(async move { submit(&mut waiting, "held").await });
    let mut seen = watch_leader(&mut client).await;
    assert_eq!(seen.message().await.unwrap().unwrap().leader, "");
    control.lead(&leader.address, 2);
    soon("the held call", held).await.unwrap();
    let now = soon("the new leader", seen.message()).await.unwrap().unwrap();
    assert_eq!((now.leader, now.epoch.unwrap().revision), (leader.address.clone(), 2));

    control.vacate();
    let request = v1::GetDriverRequest { driver_id: "held".into() };
    assert_failure(&client.get_driver(request).await.unwrap_err(), Code::Unavailable, "NO_LEADER");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_after_it_was_sent_is_unknown_and_what_was_not_is_sent_to_the_next() {
    let (store, mut gate) = Gated::new();
    let first = Master::start_on(store, &[]).await;
    let second = Master::start(&[]).await;
    let (follower, control) = Follower::new();
    control.lead(&first.address, 1);
    let standby = Master::start_on(follower, &[]).await;
    let mut client = standby.client().await;
    submit(&mut client, "before").await;
    gate.close();
    let mut stuck = client.clone();
    let request = v1::SubmitDriverRequest { driver: Some(sleeper()), driver_id: "stuck".into(), ..Default::default() };
    let waiting = tokio::spawn(async move { stuck.submit_driver(request).await });
    gate.holds().await;
    control.lead(&second.address, 2);
    let status = soon("an answer", waiting).await.unwrap().unwrap_err();
    assert_failure(&status, Code::Unknown, "OUTCOME_UNKNOWN");

    // Nobody listens at the leader's address: nothing was sent, so the call goes to the next
    // leader.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    control.lead(&closed, 3);
    let mut waiting = client.clone();
    let held = tokio::spawn(async move { submit(&mut waiting, "after").await });
    tokio::time::timeout(Duration::from_millis(100), std::future::pending::<()>()).await.unwrap_err();
    assert!(!held.is_finished());
    control.lead(&second.address, 4);
    soon("the call", held).await.unwrap();
    assert_eq!(get(&mut second.client().await, "after").await.driver_id, "after");
    gate.open();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_one_step_only() {
    let (first, control) = Follower::new();
    control.lead("127.0.0.1:1", 1);
    let first = Master::start_on(first, &[]).await;
    let (second, control) = Follower::new();
    control.lead(&first.address, 2);
    let second = Master::start_on(second, &[]).await;
    // The second names the first as leader, and the first names another: the caller gets an answer
    // within the time that a call is held.
    let request = v1::GetDriverRequest { driver_id: "x".into() };
    let status = soon("an answer", second.client().await.get_driver(request)).await.unwrap_err();
    assert_failure(&status, Code::Unavailable, "NO_LEADER");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_steps_down_alone() {
    let master = Master::start(&[]).await;
    let status = master.client().await.step_down(v1::StepDownRequest::default()).await.unwrap_err();
    assert_failure(&status, Code::FailedPrecondition, "WRONG_STATE");
    // The request names an earlier leader, so the present one does not step down.
    let earlier = v1::StepDownRequest { epoch: "1.0".into(), ..Default::default() };
    let answer = master.client().await.step_down(earlier).await.unwrap().into_inner();
    assert_eq!((answer.leader, answer.epoch.as_str()), (master.address.clone(), "1.1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_sent_to_the_leader() {
    let (follower, control) = Follower::new();
    control.lead("leader:7077", 1);
    let standby = Master::start_on(follower, &[]).await;
    let goodbye = common::worker::FakeWorker::new("w1", 1).turned_away(&standby).await;
    assert_eq!(goodbye.reason(), v1::goodbye::Reason::NotLeader);
    assert_eq!(goodbye.leader, "leader:7077");
}

const READY: [i32; 4] = [1, 1, 1, 1];
const UNREADY: [i32; 4] = [2, 2, 2, 1];

async fn readiness(master: &Master) -> Vec<i32> {
    let mut health = tonic_health::pb::health_client::HealthClient::new(master.channel().await);
    let mut statuses = Vec::new();
    for service in ["", "readiness", "muster.v1.MasterService", "liveness"] {
        let request = tonic_health::pb::HealthCheckRequest { service: service.into() };
        statuses.push(health.check(request).await.unwrap().into_inner().status);
    }
    statuses
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_lasts_over_a_hand_over_and_ends_when_no_leader_answers() {
    let leader = Master::start(&[]).await;
    let (follower, control) = Follower::new();
    control.lead(&leader.address, 1);
    let standby = Master::start_on(follower, &["--unready-after", "2s"]).await;
    assert_eq!(readiness(&standby).await, READY);
    // Nobody leads for a moment: calls are held, and a probe does not notice.
    control.vacate();
    assert_eq!(readiness(&standby).await, READY);
    let statuses = async |wanted: [i32; 4]| (readiness(&standby).await == wanted).then_some(());
    eventually("nobody leads for long", async || statuses(UNREADY).await).await;
    control.lead(&leader.address, 2);
    eventually("somebody leads again", async || statuses(READY).await).await;
    // The store still names a leader that is gone: the standby asks it and gets no answer.
    leader.stop().await.unwrap();
    eventually("the leader does not answer", async || statuses(UNREADY).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_ends_when_a_new_leader_loads_for_long() {
    const FLAGS: [&str; 2] = ["--unready-after", "2s"];
    let leader = Master::start(&[]).await;
    let (heir, heir_control) = Heir::of(&leader.address);
    let heir = Master::start_on(heir, &FLAGS).await;
    let (follower, control) = Follower::new();
    control.lead(&leader.address, 1);
    let standby = Master::start_on(follower, &FLAGS).await;
    heir_control.win(&heir.address);
    control.lead(&heir.address, 2);
    // The heir was ready, and its callers are held.
    assert_eq!(readiness(&heir).await, READY);
    let statuses = async |master: &Master, wanted: [i32; 4]| (readiness(master).await == wanted).then_some(());
    eventually("it loads for long", async || statuses(&heir, UNREADY).await).await;
    eventually("it answers nobody", async || statuses(&standby, UNREADY).await).await;
    heir_control.load();
    eventually("it has loaded", async || statuses(&heir, READY).await).await;
    eventually("it answers", async || statuses(&standby, READY).await).await;
}

/// None of the leaders answers before the next one leads.
#[tokio::test(flavor = "multi_thread")]
async fn readiness_ends_when_one_leader_after_the_other_answers_nobody() {
    let leader = Master::start(&[]).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let (follower, control) = Follower::new();
    control.lead(&leader.address, 1);
    let standby = Master::start_on(follower, &["--unready-after", "1s"]).await;
    let mut revision = 1;
    eventually("nobody has answered for long", async || {
        revision += 1;
        control.lead(&closed, revision);
        (readiness(&standby).await == UNREADY).then_some(())
    })
    .await;
}
