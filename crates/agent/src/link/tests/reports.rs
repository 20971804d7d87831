//! Ends are reported until they are acknowledged under their own sequence.

use std::time::Duration;

use muster_types::{Acknowledgement, AttemptState, Report};

use super::world::*;
use crate::link::*;

fn acknowledged(uid: u128, sequence: u64) -> Acknowledgement {
    Acknowledgement { attempt: driver(uid), sequence }
}

#[test]
fn a_report_goes_up_and_its_end_is_forgotten_only_when_acknowledged() {
    let mut world = World::active();
    let running = report(1, 1, AttemptState::Running);
    assert_eq!(
        world.tell(LinkInput::Reports(vec![running.clone()])),
        [LinkEffect::SendReports(session(0), vec![running.clone()])]
    );
    let acknowledge = |sequence| DownlinkMessage::Acknowledgements(vec![acknowledged(1, sequence)]);
    assert_eq!(world.down(session(0), 5, acknowledge(1)), []);
    world.tell(LinkInput::Reports(vec![ended(1, 2)]));
    // The acknowledgement of an older report does not acknowledge the end.
    assert_eq!(world.down(session(0), 5, acknowledge(1)), []);
    assert_eq!(world.down(session(0), 5, acknowledge(2)), [LinkEffect::Forget(acknowledged(1, 2))]);
    assert_eq!(world.down(session(0), 5, acknowledge(2)), []);
}

#[test]
fn an_older_or_repeated_report_is_not_sent() {
    let mut world = World::active();
    world.tell(LinkInput::Reports(vec![ended(1, 2)]));
    assert_eq!(world.tell(LinkInput::Reports(vec![report(1, 1, AttemptState::Running), ended(1, 2)])), []);
}

#[test]
fn what_happens_between_streams_is_in_the_inventory_alone() {
    let mut world = World::active();
    world.tell(LinkInput::Broken(session(0)));
    assert_eq!(world.tell(LinkInput::Reports(vec![ended(1, 2)])), []);
    let effects = world.activate(session(1), 5, vec![ended(1, 2)]);
    assert_eq!(
        effects[effects.len() - 4..effects.len() - 2],
        [LinkEffect::SendInventory(session(1), vec![ended(1, 2)], true), LinkEffect::Registered(session(1), epoch(5))]
    );
    let message = DownlinkMessage::Acknowledgements(vec![acknowledged(1, 2)]);
    assert_eq!(world.down(session(1), 5, message), [LinkEffect::Forget(acknowledged(1, 2))]);
}

#[test]
fn an_end_that_stays_unacknowledged_is_sent_again() {
    let mut world = World::active();
    world.tell(LinkInput::Reports(vec![ended(1, 2), report(2, 1, AttemptState::Running)]));
    for number in 1..=2 {
        assert_eq!(world.wait(BEAT), [LinkEffect::SendHeartbeat(session(0), number)]);
        world.down(session(0), 5, DownlinkMessage::HeartbeatAnswer(number));
    }
    assert_eq!(
        world.wait(BEAT),
        [LinkEffect::SendHeartbeat(session(0), 3), LinkEffect::SendReports(session(0), vec![ended(1, 2)])]
    );
    world.down(session(0), 5, DownlinkMessage::HeartbeatAnswer(3));
    world.pass(Duration::from_secs(1));
    world.down(session(0), 5, DownlinkMessage::Acknowledgements(vec![acknowledged(1, 2)]));
    assert_eq!(world.wait(Duration::from_secs(4)), [LinkEffect::SendHeartbeat(session(0), 4)]);
}

#[test]
fn a_large_inventory_goes_up_in_parts_and_the_last_says_so() {
    let mut world = World::new(Some(remembered(5)));
    world.tell(LinkInput::RunnerReady(incarnation()));
    let all: Vec<Report> = (0..300).map(|uid| report(uid, 1, AttemptState::Running)).collect();
    let effects = world.activate(session(0), 5, all.clone());
    assert_eq!(
        effects[effects.len() - 4..effects.len() - 1],
        [
            LinkEffect::SendInventory(session(0), all[..256].to_vec(), false),
            LinkEffect::SendInventory(session(0), all[256..].to_vec(), true),
            LinkEffect::Registered(session(0), epoch(5)),
        ]
    );
}
