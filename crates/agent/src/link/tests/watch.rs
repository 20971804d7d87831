//! The watch on another master: it is kept beside a stream, is never obeyed, and never leads to a
//! wrong dial.

use std::time::Duration;

use super::world::*;
use crate::link::*;

/// The answer of `b:2` to the watch.
fn seen(leader: Option<(&str, u64)>, masters: &[&str]) -> LinkInput {
    seen_by("b:2", leader, masters)
}

fn seen_by(from: &str, leader: Option<(&str, u64)>, masters: &[&str]) -> LinkInput {
    LinkInput::LeaderSeen(LeaderSeen {
        from: from.into(),
        leader: leader.map(|(address, revision)| (address.into(), epoch(revision))),
        masters: masters.iter().map(|master| (*master).into()).collect(),
    })
}

fn watch(address: &str) -> LinkEffect {
    LinkEffect::Watch(address.into())
}

#[test]
fn a_higher_epoch_is_dialled_at_once_and_nothing_older_is_obeyed() {
    let mut world = World::active();
    assert_eq!(world.tell(seen(Some(("a:1", 5)), &[])), [], "the stream's own leader");
    assert_eq!(world.tell(seen(None, &[])), [], "nobody is known");
    assert_eq!(
        world.tell_with(77_000_000, seen(Some(("c:3", 6)), &[])),
        [LinkEffect::Close(session(0)), LinkEffect::Dial(session(1), "c:3".into())]
    );
    assert_eq!(world.down(session(0), 5, DownlinkMessage::Commands(incarnation(), vec![kill(1)])), []);
    world.activate(session(1), 6, vec![]);
}

#[test]
fn a_lower_epoch_and_an_equal_one_change_nothing() {
    let mut world = World::active();
    assert_eq!(world.tell(seen(Some(("c:3", 4)), &[])), []);
    assert_eq!(world.tell(seen(Some(("c:3", 5)), &[])), []);
    world.tell_with(50_000_000, LinkInput::Broken(session(0)));
    assert_eq!(world.tell(seen(Some(("c:3", 4)), &[])), [], "nor while there is no stream");
}

#[test]
fn a_leader_that_only_says_so_is_refused_by_its_welcome() {
    let mut world = World::active();
    world.tell(seen(Some(("c:3", 6)), &[]));
    world.tell(LinkInput::Connected(session(1)));
    assert_eq!(
        world.down(session(1), 4, welcome())[0],
        LinkEffect::Say(Notice::StaleLeader { seen: epoch(5), offered: epoch(4) })
    );
}

#[test]
fn while_it_backs_off_the_next_leader_is_dialled_as_soon_as_it_is_known() {
    let mut world = World::active();
    assert_eq!(world.tell_with(99_000_000, LinkInput::Broken(session(0))), [LinkEffect::Close(session(0))]);
    assert_eq!(world.tell_with(99_000_000, seen(None, &["b:2"])), []);
    assert_eq!(
        world.tell_with(99_000_000, seen(Some(("b:2", 6)), &["b:2"])),
        [LinkEffect::Dial(session(1), "b:2".into())]
    );
}

#[test]
fn a_blip_is_mended_by_the_leader_that_is_still_the_same() {
    let mut world = World::active();
    world.tell_with(99_000_000, LinkInput::Broken(session(0)));
    assert_eq!(world.tell_with(99_000_000, seen(Some(("a:1", 5)), &[])), [LinkEffect::Dial(session(1), "a:1".into())]);
}

#[test]
fn a_dial_to_a_master_that_is_gone_is_left_for_the_leader() {
    let mut world = World::active();
    world.tell(seen(None, &["a:1", "b:2", "c:3"]));
    assert_eq!(world.tell(LinkInput::Broken(session(0)))[1], LinkEffect::Dial(session(1), "a:1".into()));
    assert_eq!(
        world.tell(seen(Some(("b:2", 6)), &[])),
        [LinkEffect::Close(session(1)), LinkEffect::Dial(session(2), "b:2".into())]
    );
    assert_eq!(world.tell(seen(Some(("b:2", 6)), &[])), [], "it is being dialled");
}

#[test]
fn while_a_watch_answers_few_masters_are_dialled() {
    let mut world = World::active();
    world.tell(seen(None, &["a:1", "b:2", "c:3"]));
    world.tell_with(99_000_000, LinkInput::Broken(session(0)));
    let dial = LinkEffect::Dial(session(99), "a:1".into());
    assert_eq!(world.wait(Duration::from_millis(99)), [dial], "only the stream may have broken");
    world.tell_with(4_999_000_000, LinkInput::Broken(session(99)));
    assert_eq!(world.deadline(), Some(world.now + Duration::from_millis(4_999)), "the next leader will be named");
    let dial = LinkEffect::Dial(session(100), "b:2".into());
    assert_eq!(world.tell(LinkInput::WatchBroken("b:2".into())), [dial], "nobody is there to name it");
}

#[test]
fn a_leader_that_was_named_and_is_not_reached_is_tried_again_soon() {
    let mut world = World::active();
    world.tell(seen(Some(("c:3", 6)), &["a:1", "b:2", "c:3"]));
    let Some(LinkEffect::Dial(again, _)) = world.tell(LinkInput::Broken(session(1))).pop() else { panic!() };
    world.tell_with(4_999_999_999, LinkInput::Broken(again));
    assert!(world.deadline().unwrap() < world.now + Duration::from_secs(1));
}

#[test]
fn a_watch_that_has_told_nothing_is_not_relied_upon() {
    let mut world = World::active();
    world.tell(seen(None, &["a:1", "b:2", "c:3"]));
    assert_eq!(world.tell(LinkInput::WatchBroken("b:2".into())), [watch("c:3")], "another");
    let mut broken = session(0);
    for _ in 0..12 {
        world.tell_with(4_999_999_999, LinkInput::Broken(broken));
        let until = world.deadline().unwrap();
        assert!(until < world.now + Duration::from_secs(1));
        let effects = world.wait(Duration::from_nanos(until.0 - world.now.0));
        let [LinkEffect::Dial(session, _)] = effects[..] else { panic!("{effects:?}") };
        broken = session;
    }
}

#[test]
fn two_masters_that_name_each_other_are_not_followed_for_ever() {
    let mut world = World::active();
    for (address, revision) in [("c:3", 6), ("d:4", 7), ("c:3", 8)] {
        assert_eq!(world.tell_with(99_000_000, seen(Some((address, revision)), &[])).len(), 2);
    }
    assert_eq!(world.tell_with(99_000_000, seen(Some(("d:4", 9)), &[])).len(), 1, "only left, and dialled later");
}

#[test]
fn a_watch_that_breaks_is_begun_anew_elsewhere_later_each_time() {
    let mut world = World::active();
    world.tell(seen(None, &["a:1", "b:2", "c:3"]));
    assert_eq!(world.tell_with(199_000_000, LinkInput::WatchBroken("b:2".into())), []);
    assert_eq!(world.wait(Duration::from_millis(199)), [watch("c:3")], "the next of the other two");
    assert_eq!(world.tell(LinkInput::WatchBroken("b:2".into())), [], "an older one");
    assert_eq!(world.tell_with(399_000_000, LinkInput::WatchBroken("c:3".into())), []);
    assert_eq!(world.wait(Duration::from_millis(399)), [watch("b:2")]);
}

#[test]
fn the_watch_is_left_when_its_master_becomes_the_leader() {
    let mut world = World::active();
    world.tell(seen(Some(("b:2", 6)), &[]));
    let effects = world.activate(session(1), 6, vec![]);
    assert_eq!(effects[effects.len() - 2..], [LinkEffect::Unwatch, watch("a:1")]);
    assert_eq!(world.tell(seen(Some(("d:4", 9)), &[])), [], "what it still says is not heard");
}

#[test]
fn the_leader_under_another_name_is_not_watched() {
    let mut world = World::active();
    assert_eq!(world.tell(seen(Some(("b:2", 5)), &["b:2", "c:3"]))[1..], [LinkEffect::Unwatch, watch("c:3")]);
    let mut alone = World::active();
    assert_eq!(alone.tell(seen(Some(("b:2", 5)), &["b:2"]))[0], LinkEffect::Unwatch);
    assert_eq!(alone.deadline(), Some(alone.now + BEAT), "nobody else is there to be watched");
}

#[test]
fn workers_spread_over_the_masters_that_stand_by() {
    let mut world = World::new(Some(remembered(5)));
    world.tell(LinkInput::RunnerReady(incarnation()));
    world.tell(LinkInput::Connected(session(0)));
    let masters = vec!["a:1".to_owned(), "b:2".to_owned(), "c:3".to_owned()];
    let message = DownlinkMessage::Welcome(Welcome { cluster: cluster(), heartbeat: BEAT, lease: LEASE, masters });
    world.down(session(0), 5, message);
    let effects = world.tell_with(3, LinkInput::Inventory(session(0), vec![]));
    assert_eq!(effects.last(), Some(&watch("c:3")));
}

#[test]
fn masters_that_a_watched_one_names_are_known_from_then_on() {
    let mut world = World::active();
    let all = ["a:1", "b:2", "c:3"].map(str::to_owned).to_vec();
    assert_eq!(world.tell(seen(Some(("a:1", 5)), &["b:2", "c:3"])), [LinkEffect::Masters(all)]);
}

#[test]
fn masters_that_an_earlier_agent_knew_are_dialled_in_turn() {
    let mut link = Link::new(vec!["gone:1".into()], Some(remembered(5)));
    link.recall_masters(&["b:2".into()]);
    let mut world = World::with(link);
    assert_eq!(world.tell(LinkInput::RunnerReady(incarnation()))[0], LinkEffect::Dial(session(0), "gone:1".into()));
    assert_eq!(world.tell(LinkInput::Broken(session(0)))[1], LinkEffect::Dial(session(1), "b:2".into()));
}

#[test]
fn masters_that_come_later_are_learned_on_the_stream_and_one_is_watched() {
    let mut world = World::with(Link::new(vec!["a:1".into()], Some(remembered(5))));
    world.tell(LinkInput::RunnerReady(incarnation()));
    world.activate(session(0), 5, vec![]);
    let said = world.down(session(0), 5, DownlinkMessage::Masters(vec!["a:1".into(), "b:2".into()]));
    assert_eq!(said, [LinkEffect::Masters(vec!["a:1".into(), "b:2".into()]), watch("b:2")]);
}
