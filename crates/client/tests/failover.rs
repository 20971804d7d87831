//! A master dies, is paused, or loses its machine: calls and streams go on at another master, which
//! may be a learned one.

mod fake;

use std::time::{Duration, Instant};

use fake::{FakeMaster, GoneMachine, Reply, Script};
use muster_client::errors::Failure;
use muster_client::v1::driver::State;
use muster_client::{Client, ConnectOptions, v1};
use tonic::Status;

/// Far longer than anything in these tests should take.
const PATIENT: Duration = Duration::from_secs(60);
/// How long a caller may be held up by a failover when the next master is already there.
const AT_ONCE: Duration = Duration::from_millis(1500);

fn client(addresses: &[&str]) -> Client {
    let options = ConnectOptions { deadline: PATIENT, try_timeout: PATIENT, ..ConnectOptions::default() };
    Client::with_options(addresses.join(",").parse().expect("addresses"), options)
}

/// A stream that stays silent for ever is a failure, too.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENT, future).await.expect("in time")
}

fn request(id: &str) -> v1::SubmitDriverRequest {
    v1::SubmitDriverRequest { driver_id: id.into(), ..Default::default() }
}

fn event(token: &str) -> v1::WatchEventsResponse {
    let driver = v1::DriverEvent { uid: "u".into(), state: State::Running.into(), ..Default::default() };
    let subject = Some(v1::event::Subject::Driver(driver));
    let event = v1::Event { resume_token: token.into(), subject, ..Default::default() };
    v1::WatchEventsResponse { events: vec![event], resume_token: token.into() }
}

fn open_with(item: v1::WatchEventsResponse) -> Script<v1::WatchEventsResponse> {
    Script { items: vec![Ok(item)], stays_open: true }
}

/// Masters that name each other as real ones do; the first one leads.
async fn masters<const N: usize>() -> [FakeMaster; N] {
    let mut started = Vec::new();
    for _ in 0..N {
        started.push(FakeMaster::start().await);
    }
    let said = started.iter().map(|master| master.address.clone()).collect::<Vec<_>>().join(",");
    for master in &started {
        master.state().masters = said.clone();
    }
    started.try_into().unwrap_or_else(|_| unreachable!("there are N"))
}

#[tokio::test]
async fn a_learned_master_is_asked_when_the_only_one_given_is_gone() {
    let [leader, heir] = masters().await;
    let client = client(&[&leader.address]);
    client.submit_driver(request("before")).await.unwrap();
    drop(leader);
    let begun = Instant::now();
    client.submit_driver(request("after")).await.unwrap();
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    assert_eq!(heir.state().request_ids.len(), 1);
}

#[tokio::test]
async fn masters_are_learned_from_a_refusal_too() {
    let [silent, other] = masters().await;
    silent.state().replies.extend([Reply::Fail(Failure::NoLeader.into())]);
    client(&[&silent.address]).submit_driver(request("a")).await.unwrap();
    assert_eq!(other.state().request_ids, silent.state().request_ids);
}

#[tokio::test]
async fn who_hands_calls_on_is_left_for_the_leader() {
    let [leader, standby] = masters().await;
    let client = client(&[&standby.address]);
    for id in ["first", "second", "third"] {
        client.submit_driver(request(id)).await.unwrap();
    }
    assert_eq!((standby.state().request_ids.len(), leader.state().request_ids.len()), (1, 2));
}

#[tokio::test]
async fn a_leader_that_cannot_be_reached_is_left_to_the_one_that_hands_calls_on() {
    let (gone, standby) = (GoneMachine::new().await, FakeMaster::start().await);
    standby.state().masters = format!("{},{}", gone.address, standby.address);
    let client = client(&[&standby.address]);
    let begun = Instant::now();
    for id in ["first", "second", "third", "fourth"] {
        client.submit_driver(request(id)).await.unwrap();
    }
    assert!(begun.elapsed() < AT_ONCE, "the leader is dialled once: {:?}", begun.elapsed());
    assert_eq!(standby.state().request_ids.len(), 4);
}

#[tokio::test]
async fn a_machine_that_is_gone_does_not_eat_the_time_of_a_call() {
    let (gone, also_gone, master) = (GoneMachine::new().await, GoneMachine::new().await, FakeMaster::start().await);
    let client = client(&[&gone.address, &also_gone.address, &master.address]);
    let begun = Instant::now();
    client.submit_driver(request("a")).await.unwrap();
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn where_only_gone_machines_are_known_nothing_was_done() {
    let (gone, also_gone) = (GoneMachine::new().await, GoneMachine::new().await);
    let client = client(&[&gone.address, &also_gone.address]).with_deadline(Duration::from_secs(1));
    let error = client.submit_driver(request("a")).await.unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    assert_eq!(error.verdict, muster_client::Verdict::NotApplied);
}

#[tokio::test]
async fn an_outcome_that_is_unknown_is_asked_for_elsewhere_under_the_same_id() {
    let [leader, heir] = masters().await;
    leader.state().replies.push_back(Reply::Fail(Status::unavailable("connection reset")));
    let failure = Failure::OutcomeUnknown { message: "the leader went away".into() };
    heir.state().replies.push_back(Reply::Fail(failure.into()));
    client(&[&leader.address]).submit_driver(request("a")).await.unwrap();
    let ids: Vec<_> = [&leader, &heir].into_iter().flat_map(|master| master.state().request_ids.clone()).collect();
    assert_eq!(ids.len(), 3, "{ids:?}");
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[tokio::test]
async fn who_lost_sight_of_an_outcome_is_asked_again_rather_than_a_leader_that_may_be_paused() {
    let [paused, standby] = masters().await;
    paused.pause();
    let failure = Failure::OutcomeUnknown { message: "the leader changed meanwhile".into() };
    standby.state().replies.push_back(Reply::Fail(failure.into()));
    let begun = Instant::now();
    client(&[&standby.address, &paused.address]).submit_driver(request("a")).await.unwrap();
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    assert_eq!(standby.state().request_ids.len(), 2);
}

#[tokio::test]
async fn an_election_is_waited_for_with_short_waits() {
    let [dead, heir, other] = masters().await;
    let client = client(&[&dead.address]);
    client.submit_driver(request("before")).await.unwrap();
    drop(dead);
    for standby in [&heir, &other] {
        standby.state().replies.extend((0..3).map(|_| Reply::Fail(Status::unavailable("no leader yet"))));
    }
    let begun = Instant::now();
    client.submit_driver(request("after")).await.unwrap();
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_paused_master_is_noticed_by_its_silence() {
    let [paused, heir] = masters().await;
    let client = client(&[&paused.address]);
    client.submit_driver(request("before")).await.unwrap();
    paused.pause();
    let begun = Instant::now();
    client.submit_driver(request("after")).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_eq!(heir.state().request_ids.len(), 1);
}

#[tokio::test]
async fn a_watch_goes_on_elsewhere_when_its_master_dies() {
    let [leader, heir] = masters().await;
    leader.state().watches.push_back(open_with(event("1")));
    heir.state().watches.push_back(open_with(event("2")));
    let mut watch = client(&[&leader.address]).watch_events(v1::WatchEventsRequest::default());
    assert_eq!(within(watch.next()).await.unwrap().resume_token, "1");
    drop(leader);
    let begun = Instant::now();
    assert_eq!(within(watch.next()).await.unwrap().resume_token, "2");
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    assert_eq!(heir.state().watched[0].resume_token, "1");
}

#[tokio::test]
async fn a_watch_goes_on_elsewhere_when_its_master_is_paused() {
    let [paused, heir] = masters().await;
    paused.state().watches.push_back(open_with(event("1")));
    heir.state().watches.push_back(open_with(event("2")));
    let mut watch = client(&[&paused.address]).watch_events(v1::WatchEventsRequest::default());
    assert_eq!(within(watch.next()).await.unwrap().resume_token, "1");
    paused.pause();
    let begun = Instant::now();
    assert_eq!(within(watch.next()).await.unwrap().resume_token, "2");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_log_is_read_on_elsewhere_when_its_master_goes_away() {
    let [leader, heir] = masters().await;
    let chunk = |byte, data: &'static str, end| {
        let offset = Some(v1::LogOffset { truncations: 0, byte });
        let chunk = v1::LogChunk { offset, data: data.into(), end, ..Default::default() };
        Ok(v1::ReadLogResponse { chunk: Some(chunk) })
    };
    let items = vec![chunk(0, "abc", false), Err(Failure::GoingAway.into())];
    leader.state().logs.push_back(Script { items, stays_open: false });
    heir.state().logs.push_back(Script { items: vec![chunk(3, "def", true)], stays_open: true });
    let mut read = client(&[&leader.address]).read_log(v1::ReadLogRequest {
        subject: Some(v1::read_log_request::Subject::DriverId("d".into())),
        ..Default::default()
    });
    let mut text = Vec::new();
    while let Some(chunk) = within(read.next()).await.unwrap() {
        text.extend_from_slice(&chunk.data);
    }
    assert_eq!(text, b"abcdef");
    assert_eq!(heir.state().read.len(), 1, "the leader that goes away is not asked again");
}
