//! Hello, welcome and inventory, and what can break them.

use muster_proto::v1::link_request::Message as Up;
use muster_proto::{BearerToken, v1};
use muster_types::*;
use muster_worker::config::WorkerConfig;
use muster_worker::state;

use crate::stage::*;

#[tokio::test]
async fn an_agent_registers_with_what_its_runner_holds() {
    let mut stage = Stage::set();
    let mut master = Master::lead(5).await;
    stage.start(&master);
    let mut talk = stage.runner.adopted().await;
    let mut stream = master.hello().await;
    assert_eq!((stream.hello.cluster, stream.hello.epoch), (None, None));
    assert_eq!(stream.hello.incarnation, incarnation());
    assert!(stream.hello.capabilities.tree);
    assert!(stream.hello.variables.contains("TOOL"));
    stream.welcome();
    let running = report(driver(1), 2, AttemptState::Running);
    talk.answer_inventory(vec![running.clone()]).await;
    // The epoch was on disk before the inventory went up.
    let remembered = state::load(&stage.path("state")).expect("readable").expect("written");
    assert_eq!((remembered.cluster, remembered.epoch), (master.cluster, master.epoch));
    assert_eq!(stream.inventory().await, [running]);
    let inventory = stage.client().await.get_inventory(v1::GetInventoryRequest {}).await.expect("served").into_inner();
    assert_eq!((inventory.name.as_str(), inventory.epoch.as_str()), ("w1", "1.5"));
    assert_eq!(inventory.attempts.len(), 1);
    assert_eq!(inventory.master, master.address);
}

#[tokio::test]
async fn heartbeats_are_numbered_and_their_answers_renew_the_lease_at_the_runner() {
    let mut stage = Stage::set();
    let mut master = Master::lead(5).await;
    stage.start(&master);
    let (mut stream, mut talk) = stage.register(&mut master, vec![]).await;
    let mut last = None;
    for number in 1..=3 {
        assert_eq!(stream.next().await, Some(Up::Heartbeat(v1::Heartbeat { number })));
        stream.answer(number);
        let Some(muster_agent::runner_protocol::ToRunner::Renew(renewal)) = talk.next_of_all().await else {
            panic!("renewed")
        };
        assert!(Some(renewal.sent) > last, "each renewal counts from a later sending");
        last = Some(renewal.sent);
    }
}

#[tokio::test]
async fn a_restarted_agent_tells_the_epoch_and_a_newer_session() {
    let mut stage = Stage::set();
    let mut master = Master::lead(5).await;
    stage.start(&master);
    let (stream, _talk) = stage.register(&mut master, vec![]).await;
    let first = stream.hello.clone();
    stage.stop().await;
    stage.start(&master);
    let _talk = stage.runner.adopted().await;
    let stream = master.hello().await;
    assert_eq!(stream.hello.worker, first.worker);
    assert_eq!((stream.hello.cluster, stream.hello.epoch), (Some(master.cluster), Some(master.epoch)));
    assert!(stream.hello.session > first.session);
}

#[tokio::test]
async fn a_master_that_does_not_lead_names_the_one_that_does() {
    let mut stage = Stage::set();
    let mut standby = Master::lead(1).await;
    let mut leader = Master::lead(5).await;
    stage.start(&standby);
    let _talk = stage.runner.adopted().await;
    let stream = standby.hello().await;
    stream.goodbye(v1::goodbye::Reason::NotLeader, "", &leader.address);
    leader.hello().await;
}

#[tokio::test]
async fn a_lower_epoch_is_left_for_another_master() {
    let mut stage = Stage::set();
    let mut leader = Master::lead(5).await;
    stage.start(&leader);
    stage.register(&mut leader, vec![]).await;
    stage.stop().await;
    let mut old = Master::lead(4).await;
    stage.start(&old);
    let _talk = stage.runner.adopted().await;
    let mut stream = old.hello().await;
    stream.welcome();
    assert_eq!(stream.next().await, None, "nothing goes up to a lower epoch");
}

#[tokio::test]
async fn another_cluster_is_refused_unless_the_worker_rejoins() {
    let mut stage = Stage::set();
    let mut leader = Master::lead(5).await;
    stage.start(&leader);
    stage.register(&mut leader, vec![]).await;
    stage.stop().await;
    let mut other = Master::lead(1).await;
    other.cluster = ClusterUid(0xE);
    stage.start(&other);
    let _talk = stage.runner.adopted().await;
    let mut stream = other.hello().await;
    stream.welcome();
    assert_eq!(stream.next().await, None, "nothing goes up to another cluster");
    stage.stop().await;
    let config = muster_worker::config::WorkerConfig { rejoin: true, ..stage.config(&other) };
    stage.start_with(config);
    let (stream, _talk) = stage.register(&mut other, vec![]).await;
    assert_eq!((stream.hello.cluster, stream.hello.epoch), (None, None));
}

#[tokio::test]
async fn a_new_runner_ends_the_stream_and_begins_with_hello() {
    let mut stage = Stage::set();
    let mut master = Master::lead(5).await;
    stage.start(&master);
    let (mut stream, talk) = stage.register(&mut master, vec![]).await;
    drop(talk);
    while let Some(message) = stream.next().await {
        assert!(matches!(message, Up::Heartbeat(_)));
    }
    let next = Incarnation { counter: 4, random: 8 };
    let _talk = stage.runner.adopted_as(next).await;
    assert_eq!(master.hello().await.hello.incarnation, next);
}

#[tokio::test]
async fn a_second_agent_on_one_state_directory_is_refused() {
    let mut stage = Stage::set();
    let mut master = Master::lead(5).await;
    stage.start(&master);
    stage.register(&mut master, vec![]).await;
    let (_stop, stopped) = tokio::sync::watch::channel(false);
    let second = soon("a refusal", muster_worker::agent::run(stage.config(&master), stopped)).await;
    assert!(second.expect_err("refused").to_string().contains("in use by another muster-worker"));
}

#[tokio::test]
async fn a_token_is_left_out_in_the_clear_over_a_network() {
    let token = BearerToken::new("mst_1_2").expect("a token");
    // The address of no machine reaches this one, and is none of loopback.
    for (host, expected) in [("0.0.0.0", None), ("127.0.0.1", Some("Bearer mst_1_2"))] {
        let mut stage = Stage::set();
        let mut master = Master::lead(5).await;
        let masters = vec![master.address.replace("127.0.0.1", host)];
        stage.start_with(WorkerConfig {
            masters,
            token: Some(token.expose().parse().expect("a token")),
            ..stage.config(&master)
        });
        let (stream, _talk) = stage.register(&mut master, vec![]).await;
        assert_eq!(stream.bearer.as_deref(), expected, "the stream to {host}");
        let mut client = stage.client().await;
        soon("the drain", client.drain(v1::DrainRequest::default())).await.expect("it is passed on");
        assert_eq!(master.drained_by(), [expected.map(str::to_owned)], "the drain at {host}");
    }
}
