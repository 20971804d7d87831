//! The watch on a second master: what it makes the agent dial, and what the agent keeps of it.

use std::time::Duration;

use muster_proto::v1::link_request::Message as Up;
use muster_worker::config::WorkerConfig;

use crate::stage::*;

/// A leader, a second master, and an agent that was given both and has a stream to the first.
async fn watching() -> (Stage, Master, Master, Stream, Talk) {
    let mut stage = Stage::set();
    let mut leader = Master::lead(5).await;
    // No heartbeat comes while the test runs, so none needs an answer.
    leader.heartbeat = Duration::from_secs(20);
    let standby = Master::lead(6).await;
    standby.say_leads(&leader, &[&leader, &standby]);
    stage.start_with(WorkerConfig {
        masters: vec![leader.address.clone(), standby.address.clone()],
        ..stage.config(&leader)
    });
    let (stream, talk) = stage.register(&mut leader, vec![]).await;
    standby.wait_watched(1).await;
    (stage, leader, standby, stream, talk)
}

#[tokio::test]
async fn the_next_leader_is_dialled_while_the_old_one_still_answers() {
    let (_stage, leader, mut standby, mut old, mut talk) = watching().await;
    assert_eq!(leader.watches(), 0, "its own leader is not watched");
    standby.say_leads(&standby, &[&standby]);
    let mut stream = standby.hello().await;
    assert_eq!(stream.hello.epoch, Some(leader.epoch));
    while let Some(message) = old.next().await {
        assert!(matches!(message, Up::Heartbeat(_)), "the old stream ends");
    }
    stream.welcome();
    talk.answer_inventory(vec![]).await;
    stream.inventory().await;
    standby.wait_watched(0).await;
}

#[tokio::test]
async fn a_killed_leaders_successor_is_dialled_as_soon_as_it_is_known() {
    let (_stage, leader, mut standby, old, _talk) = watching().await;
    standby.say_nobody_leads();
    drop((leader, old));
    standby.say_leads(&standby, &[&standby]);
    let stream = standby.hello().await;
    stream.welcome();
}

#[tokio::test]
async fn a_lower_epoch_that_is_named_moves_nobody() {
    let (stage, leader, standby, _stream, _talk) = watching().await;
    let mut lower = Master::lead(4).await;
    let third = Master::lead(7).await;
    // The masters that are named with the lower epoch are on disk once the agent has heard it.
    standby.say_leads(&lower, &[&leader, &standby, &third]);
    stage.wait_for_masters(&[&leader, &standby, &third]).await;
    assert!(!lower.was_dialled());
    standby.wait_watched(1).await;
}

#[tokio::test]
async fn a_watch_that_breaks_is_begun_again() {
    let (_stage, leader, standby, _stream, _talk) = watching().await;
    for _ in 0..3 {
        standby.cut_watches().await;
    }
    standby.wait_watched(1).await;
    assert_eq!(leader.watches(), 0);
}

#[tokio::test]
async fn new_masters_are_told_to_new_launches_and_outlive_the_agent() {
    let (mut stage, leader, standby, stream, mut talk) = watching().await;
    let mut third = Master::lead(7).await;
    let all = [&leader, &standby, &third].map(|master| master.address.clone());
    standby.say_leads(&leader, &[&leader, &standby, &third]);
    stage.wait_for_masters(&[&leader, &standby, &third]).await;
    stream.launch(launch(driver(1)));
    let start = talk.start().await;
    let reported = start.program.env.iter().find(|(name, _)| name == "MUSTER_MASTER").map(|(_, value)| value.clone());
    assert_eq!(reported, Some(all.join(",")));

    // An agent that is given only an address without a master finds the others.
    stage.stop().await;
    let config = WorkerConfig { masters: vec![leader.address.clone()], ..stage.config(&leader) };
    drop((leader, standby));
    stage.start_with(config);
    let _talk = stage.runner.adopted().await;
    assert_eq!(third.hello().await.hello.epoch.map(|epoch| epoch.revision), Some(5));
}
