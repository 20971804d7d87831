//! Calls find the leader, are repeated when that is harmless and useful, and say whether they were
//! done.

mod fake;

use std::collections::BTreeSet;
use std::time::Duration;

use fake::{FakeMaster, Reply};
use muster_client::errors::{Failure, reason};
use muster_client::{BearerToken, Client, ConnectOptions, TraceContext, Verdict, v1};
use tonic::Status;

fn client(masters: &[&FakeMaster]) -> Client {
    client_with(masters, ConnectOptions::default())
}

fn client_with(masters: &[&FakeMaster], options: ConnectOptions) -> Client {
    let addresses: Vec<_> = masters.iter().map(|master| master.address.as_str()).collect();
    Client::with_options(addresses.join(",").parse().expect("an address"), options)
}

fn impatient() -> ConnectOptions {
    let short = Duration::from_millis(200);
    ConnectOptions { deadline: Duration::from_secs(1), try_timeout: short, ..ConnectOptions::default() }
}

fn request(id: &str) -> v1::SubmitDriverRequest {
    v1::SubmitDriverRequest { driver_id: id.into(), ..Default::default() }
}

#[tokio::test]
async fn a_master_that_does_not_lead_says_who_does() {
    let (standby, leader) = (FakeMaster::start().await, FakeMaster::start().await);
    let failure = Failure::NotLeader { leader: Some(leader.address.clone()), epoch: None };
    standby.state().replies.push_back(Reply::Fail(failure.into()));
    let client = client(&[&standby]);
    for id in ["first", "second"] {
        assert_eq!(client.submit_driver(request(id)).await.unwrap().driver_id, id);
    }
    assert_eq!(standby.state().request_ids.len(), 1, "the leader is remembered");
    assert_eq!(leader.state().request_ids.len(), 2);
}

#[tokio::test]
async fn a_token_is_left_out_in_the_clear_over_a_network() {
    let master = FakeMaster::start().await;
    let port = master.address.rsplit_once(':').unwrap().1.to_owned();
    let token = BearerToken::new("mst_1_2").unwrap();
    // The address of no machine reaches this one, and is none of loopback.
    for (address, expected) in [(format!("0.0.0.0:{port}"), None), (master.address.clone(), Some("Bearer mst_1_2"))] {
        let options = ConnectOptions { token: Some(token.clone()), ..ConnectOptions::default() };
        let client = Client::with_options(address.parse().expect("an address"), options);
        client.submit_driver(request("a")).await.unwrap();
        client.watch_events(v1::WatchEventsRequest::default()).open().await.unwrap();
        let sent = std::mem::take(&mut master.state().bearers);
        assert_eq!(sent, [expected.map(str::to_owned), expected.map(str::to_owned)], "{address}");
    }
}

#[tokio::test]
async fn every_try_of_a_call_says_the_span_that_it_is_made_for() {
    let master = FakeMaster::start().await;
    master.state().replies.push_back(Reply::Fail(Failure::NoLeader.into()));
    let trace = TraceContext::new(1, 2, true);
    let client = client_with(&[&master], ConnectOptions { trace, ..ConnectOptions::default() });
    client.submit_driver(request("a")).await.unwrap();
    client.watch_events(v1::WatchEventsRequest::default()).open().await.unwrap();
    assert_eq!(master.state().traces, [trace, trace, trace]);
}

#[tokio::test]
async fn an_unknown_outcome_is_asked_again_under_the_same_id() {
    let master = FakeMaster::start().await;
    let unknown = Failure::OutcomeUnknown { message: "the store did not answer".into() };
    master.state().replies.extend([
        Reply::Fail(Status::unavailable("connection reset")),
        Reply::Fail(unknown.into()),
        Reply::Fail(Failure::NoLeader.into()),
    ]);
    client(&[&master]).submit_driver(request("a")).await.unwrap();
    let ids = master.state().request_ids.clone();
    assert_eq!(ids.len(), 4);
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 1, "{ids:?}");
    assert_eq!(ids[0].len(), 32);
}

#[tokio::test]
async fn a_refusal_is_final() {
    let master = FakeMaster::start().await;
    let taken = Failure::AlreadyExists { kind: "driver", name: "a".into() };
    master.state().replies.push_back(Reply::Fail(taken.into()));
    let error = client(&[&master]).submit_driver(request("a")).await.unwrap_err();
    assert_eq!((error.tries, error.verdict), (1, Verdict::NotApplied));
    assert_eq!(error.reason().as_deref(), Some(reason::ALREADY_EXISTS));
    assert_eq!(error.to_string(), "driver \"a\" exists");
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_done() {
    let gone = FakeMaster::start().await;
    let address = gone.address.clone();
    drop(gone);
    let client = Client::with_options(address.parse().expect("an address"), impatient());
    let error = client.submit_driver(request("a")).await.unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    assert_eq!(error.verdict, Verdict::NotApplied);
    assert_eq!(error.to_string(), format!("no master answers at {address}"));
}

#[tokio::test]
async fn a_master_that_hangs_costs_one_try() {
    let (hanging, other) = (FakeMaster::start().await, FakeMaster::start().await);
    hanging.state().replies.push_back(Reply::Hang);
    client_with(&[&hanging, &other], impatient()).submit_driver(request("a")).await.unwrap();
    assert_eq!(hanging.state().request_ids, other.state().request_ids);
}

#[tokio::test]
async fn a_call_that_may_have_been_done_says_so() {
    let master = FakeMaster::start().await;
    master.state().replies.extend((0..100).map(|_| Reply::Hang));
    let error = client_with(&[&master], impatient()).submit_driver(request("a")).await.unwrap_err();
    assert_eq!(error.verdict, Verdict::Unknown);
    assert!(error.tries > 1 && error.to_string().ends_with("whether it was done is not known"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_calls_in_flight_are_each_answered() {
    const CALLS: usize = 5_000;
    let master = FakeMaster::start().await;
    let client = client_with(&[&master], ConnectOptions { connections: 4, ..ConnectOptions::default() });
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..CALLS {
        let client = client.clone();
        calls.spawn(async move { client.submit_driver(request(&format!("d{number}"))).await.unwrap().driver_id });
    }
    let answered: BTreeSet<_> = calls.join_all().await.into_iter().collect();
    assert_eq!(answered.len(), CALLS);
    assert_eq!(master.state().request_ids.iter().collect::<BTreeSet<_>>().len(), CALLS);
}
