//! Which stream is current, and which leader is obeyed.

use std::time::Duration;

use muster_types::{EpochCheck, LeaderUid, Session};

use super::world::*;
use crate::link::*;

#[test]
fn nothing_is_dialled_before_there_is_a_runner() {
    let world = World::new(None);
    assert_eq!(world.deadline(), None);
}

#[test]
fn a_first_registration_persists_the_epoch_before_the_inventory() {
    let mut world = World::new(None);
    let first = session(0);
    assert_eq!(world.tell(LinkInput::RunnerReady(incarnation())), [LinkEffect::Dial(first, "a:1".into())]);
    world.pass(Duration::from_millis(4));
    let sent = world.now;
    let hello = LinkEffect::SendHello { session: first, incarnation: incarnation(), cluster: None, epoch: None };
    assert_eq!(world.tell(LinkInput::Connected(first)), [hello]);
    world.pass(Duration::from_millis(4));
    assert_eq!(world.down(first, 5, welcome()), [LinkEffect::Persist(remembered(5))]);
    assert_eq!(
        world.tell(LinkInput::Persisted(remembered(5))),
        [LinkEffect::RenewLease { sent, lease: LEASE }, LinkEffect::AskInventory(first)]
    );
    let running = report(1, 2, muster_types::AttemptState::Running);
    assert_eq!(
        world.tell(LinkInput::Inventory(first, vec![running.clone()])),
        [
            LinkEffect::SendInventory(first, vec![running], true),
            LinkEffect::Registered(first, epoch(5)),
            LinkEffect::Watch("b:2".into()),
        ]
    );
    assert_eq!(world.wait(BEAT), [LinkEffect::SendHeartbeat(first, 1)]);
}

#[test]
fn an_epoch_that_is_on_disk_is_not_written_again() {
    let mut world = World::new(Some(remembered(5)));
    world.tell(LinkInput::RunnerReady(incarnation()));
    world.tell(LinkInput::Connected(session(0)));
    assert_eq!(
        world.down(session(0), 5, welcome()),
        [LinkEffect::RenewLease { sent: START, lease: LEASE }, LinkEffect::AskInventory(session(0))]
    );
}

#[test]
fn the_new_stream_waits_for_a_write_that_an_older_one_asked_for() {
    let mut world = World::new(Some(remembered(5)));
    world.tell(LinkInput::RunnerReady(incarnation()));
    world.tell(LinkInput::Connected(session(0)));
    assert_eq!(world.down(session(0), 6, welcome()), [LinkEffect::Persist(remembered(6))]);
    assert_eq!(
        world.tell(LinkInput::Broken(session(0))),
        [LinkEffect::Close(session(0)), LinkEffect::Dial(session(1), "b:2".into())]
    );
    world.tell(LinkInput::Connected(session(1)));
    assert_eq!(world.down(session(1), 6, welcome()), []);
    assert_eq!(
        world.tell(LinkInput::Persisted(remembered(6))),
        [LinkEffect::RenewLease { sent: START, lease: LEASE }, LinkEffect::AskInventory(session(1))]
    );
}

#[test]
fn a_lower_welcome_is_left_and_the_hello_tells_the_highest_epoch() {
    let mut world = World::new(Some(remembered(5)));
    world.tell(LinkInput::RunnerReady(incarnation()));
    let hello = LinkEffect::SendHello {
        session: session(0),
        incarnation: incarnation(),
        cluster: Some(cluster()),
        epoch: Some(epoch(5)),
    };
    assert_eq!(world.tell(LinkInput::Connected(session(0))), [hello]);
    assert_eq!(
        world.down(session(0), 4, welcome()),
        [
            LinkEffect::Say(Notice::StaleLeader { seen: epoch(5), offered: epoch(4) }),
            LinkEffect::Close(session(0)),
            LinkEffect::Dial(session(1), "b:2".into()),
        ]
    );
}

#[test]
fn an_equal_epoch_of_another_leader_is_refused() {
    let mut world = World::new(Some(remembered(5)));
    world.tell(LinkInput::RunnerReady(incarnation()));
    world.tell(LinkInput::Connected(session(0)));
    let mut other = epoch(5);
    other.leader = LeaderUid(99);
    assert_eq!(epoch(5).check(&other), EpochCheck::Refused);
    let down = NumberedDownlink { epoch: Some(other), session: session(0), message: welcome() };
    assert_eq!(
        world.tell(LinkInput::Down(session(0), down))[0],
        LinkEffect::Say(Notice::StaleLeader { seen: epoch(5), offered: other })
    );
}

#[test]
fn a_higher_welcome_binds_before_it_is_on_disk() {
    let mut world = World::new(Some(remembered(5)));
    world.tell(LinkInput::RunnerReady(incarnation()));
    world.tell(LinkInput::Connected(session(0)));
    world.down(session(0), 7, welcome());
    world.tell(LinkInput::Broken(session(0)));
    world.tell(LinkInput::Connected(session(1)));
    assert_eq!(
        world.down(session(1), 6, welcome())[0],
        LinkEffect::Say(Notice::StaleLeader { seen: epoch(7), offered: epoch(6) })
    );
}

#[test]
fn another_cluster_is_refused_and_tried_again_slowly() {
    let mut world = World::new(Some(remembered(5)));
    world.tell(LinkInput::RunnerReady(incarnation()));
    world.tell(LinkInput::Connected(session(0)));
    let offered = muster_types::ClusterUid(0xD);
    let other = Welcome { cluster: offered, heartbeat: BEAT, lease: LEASE, masters: vec![] };
    assert_eq!(
        world.down(session(0), 9, DownlinkMessage::Welcome(other)),
        [LinkEffect::Say(Notice::WrongCluster { joined: cluster(), offered }), LinkEffect::Close(session(0))]
    );
    assert_eq!(world.wait(Duration::from_millis(7_500)), [LinkEffect::Dial(session(7_500), "b:2".into())]);
}

#[test]
fn nothing_that_comes_by_an_older_stream_is_obeyed_once_the_next_is_dialled() {
    let mut world = World::active();
    assert_eq!(
        world.tell(LinkInput::Broken(session(0))),
        [LinkEffect::Close(session(0)), LinkEffect::Dial(session(1), "b:2".into())]
    );
    assert_eq!(world.down(session(0), 5, DownlinkMessage::Commands(incarnation(), vec![kill(1)])), []);
    assert_eq!(world.down(session(0), 5, DownlinkMessage::HeartbeatAnswer(1)), []);
    assert_eq!(world.down(session(0), 9, welcome()), []);
    assert_eq!(world.tell(LinkInput::Inventory(session(0), vec![])), []);
    assert_eq!(world.tell(LinkInput::Broken(session(0))), []);
}

#[test]
fn commands_are_obeyed_only_of_the_present_epoch_session_and_incarnation() {
    let mut world = World::active();
    let commands = DownlinkMessage::Commands(incarnation(), vec![kill(1)]);
    assert_eq!(world.down(session(0), 5, commands.clone()), [LinkEffect::Obey(vec![kill(1)])]);
    let older = muster_types::Incarnation { counter: 2, random: 7 };
    assert_eq!(
        world.down(session(0), 5, DownlinkMessage::Commands(older, vec![kill(1)])),
        [LinkEffect::Say(Notice::OtherIncarnation(older))]
    );
    let wrong_session = NumberedDownlink { epoch: Some(epoch(5)), session: Session(1), message: commands.clone() };
    assert_eq!(
        world.tell(LinkInput::Down(session(0), wrong_session)),
        [
            LinkEffect::Say(Notice::Nonsense("message without epoch or of another session")),
            LinkEffect::Close(session(0)),
            LinkEffect::Dial(session(1), "b:2".into()),
        ]
    );
    let mut world = World::active();
    assert_eq!(
        world.down(session(0), 6, commands),
        [
            LinkEffect::Say(Notice::StaleLeader { seen: epoch(5), offered: epoch(6) }),
            LinkEffect::Close(session(0)),
            LinkEffect::Dial(session(1), "b:2".into()),
        ]
    );
}

#[test]
fn commands_before_the_inventory_are_dropped() {
    let mut world = World::new(Some(remembered(5)));
    world.tell(LinkInput::RunnerReady(incarnation()));
    world.tell(LinkInput::Connected(session(0)));
    world.down(session(0), 5, welcome());
    assert_eq!(
        world.down(session(0), 5, DownlinkMessage::Commands(incarnation(), vec![kill(1)])),
        [LinkEffect::Say(Notice::Nonsense("commands before the inventory"))]
    );
}

#[test]
fn the_leader_that_is_named_is_dialled_at_once_but_not_for_ever() {
    let mut world = World::new(Some(remembered(5)));
    world.tell(LinkInput::RunnerReady(incarnation()));
    for round in 0..3 {
        world.tell(LinkInput::Connected(session(round)));
        let named = goodbye(GoodbyeReason::NotLeader(Some("c:3".into())));
        let down = NumberedDownlink { epoch: None, session: session(round), message: named };
        assert_eq!(
            world.tell_with(50_000_000, LinkInput::Down(session(round), down)),
            [
                LinkEffect::Say(Notice::Goodbye("why".into())),
                LinkEffect::Close(session(round)),
                LinkEffect::Dial(session(round + 1), "c:3".into()),
            ]
        );
    }
    let down = NumberedDownlink {
        epoch: None,
        session: session(3),
        message: goodbye(GoodbyeReason::NotLeader(Some("c:3".into()))),
    };
    world.tell_with(50_000_000, LinkInput::Down(session(3), down));
    assert_eq!(world.wait(Duration::from_millis(50)), [LinkEffect::Dial(session(50), "c:3".into())]);
}

#[test]
fn say_hello_dials_the_same_master_at_once() {
    let mut world = World::active();
    assert_eq!(
        world.down(session(0), 5, goodbye(GoodbyeReason::SayHello)),
        [
            LinkEffect::Say(Notice::Goodbye("why".into())),
            LinkEffect::Close(session(0)),
            LinkEffect::Dial(session(1), "a:1".into()),
        ]
    );
}

#[test]
fn a_refusal_is_told_and_tried_again_slowly() {
    let mut world = World::new(None);
    world.tell(LinkInput::RunnerReady(incarnation()));
    world.tell(LinkInput::Connected(session(0)));
    assert_eq!(
        world.down(session(0), 5, goodbye(GoodbyeReason::Refused("CLONED_STATE".into()))),
        [
            LinkEffect::Say(Notice::Refused { refusal: "CLONED_STATE".into(), message: "why".into() }),
            LinkEffect::Close(session(0)),
        ]
    );
    assert_eq!(world.wait(Duration::from_millis(7_500)), [LinkEffect::Dial(session(7_500), "b:2".into())]);
}

#[test]
fn reconnects_back_off_with_full_jitter_and_settle_with_an_answer() {
    let mut world = World::active();
    // Entropy just below each bound: rounds over two masters at 100, 100, 200, 200, … milliseconds.
    let mut delays = Vec::new();
    let mut current = session(0);
    for bound in [100, 100, 200, 200, 400, 400, 800, 800, 1000, 1000, 1000_u64] {
        let effects = world.tell_with(bound * 1_000_000 - 1, LinkInput::Broken(current));
        assert_eq!(effects, [LinkEffect::Close(current)]);
        let delay = world.deadline().expect("a dial is planned").since(world.now);
        delays.push(delay);
        world.pass(delay);
        let [LinkEffect::Dial(next, _)] = world.tell(LinkInput::Tick)[..] else { panic!("dials") };
        current = next;
    }
    let expected = [100, 100, 200, 200, 400, 400, 800, 800, 1000, 1000, 1000_u64];
    assert_eq!(delays, expected.map(|ms| Duration::from_nanos(ms * 1_000_000 - 1)));
    world.activate(current, 5, vec![]);
    world.wait(BEAT);
    world.down(current, 5, DownlinkMessage::HeartbeatAnswer(1));
    world.tell_with(99_000_000, LinkInput::Broken(current));
    assert_eq!(world.deadline(), Some(world.now + Duration::from_millis(99)));
}

#[test]
fn a_dial_or_a_hello_without_answer_is_given_up() {
    let mut world = World::new(None);
    world.tell(LinkInput::RunnerReady(incarnation()));
    assert_eq!(
        world.wait(Duration::from_millis(1_500)),
        [LinkEffect::Close(session(0)), LinkEffect::Dial(session(1_500), "b:2".into())]
    );
    world.tell(LinkInput::Connected(session(1_500)));
    assert_eq!(
        world.wait(Duration::from_secs(10)),
        [LinkEffect::Close(session(1_500)), LinkEffect::Dial(session(11_500), "a:1".into())]
    );
}

#[test]
fn masters_learned_from_a_welcome_are_dialled_too() {
    let mut world = World::new(Some(remembered(5)));
    world.tell(LinkInput::RunnerReady(incarnation()));
    world.tell(LinkInput::Connected(session(0)));
    let masters = vec!["c:3".to_owned(), "a:1".to_owned()];
    let message = DownlinkMessage::Welcome(Welcome { cluster: cluster(), heartbeat: BEAT, lease: LEASE, masters });
    let all = vec!["a:1".to_owned(), "b:2".to_owned(), "c:3".to_owned()];
    assert_eq!(world.down(session(0), 5, message)[0], LinkEffect::Masters(all));
    assert_eq!(world.tell(LinkInput::Broken(session(0)))[1], LinkEffect::Dial(session(1), "b:2".into()));
    assert_eq!(world.tell(LinkInput::Broken(session(1)))[1], LinkEffect::Dial(session(2), "c:3".into()));
}

#[test]
fn a_stream_belongs_to_one_runner() {
    let mut world = World::active();
    assert_eq!(world.tell(LinkInput::RunnerGone), [LinkEffect::Close(session(0))]);
    assert_eq!(world.tell(LinkInput::Reports(vec![ended(1, 3)])), []);
    let next = muster_types::Incarnation { counter: 4, random: 8 };
    assert_eq!(world.tell(LinkInput::RunnerReady(next)), [LinkEffect::Dial(session(1), "b:2".into())]);
    let hello = LinkEffect::SendHello {
        session: session(1),
        incarnation: next,
        cluster: Some(cluster()),
        epoch: Some(epoch(5)),
    };
    assert_eq!(world.tell(LinkInput::Connected(session(1))), [hello]);
}
