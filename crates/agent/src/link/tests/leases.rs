//! Heartbeats, and the time from which the lease counts.

use std::time::Duration;

use super::world::*;
use crate::link::*;

#[test]
fn an_answer_renews_from_the_sending_time_of_its_own_heartbeat() {
    let mut world = World::active();
    world.wait(BEAT);
    let sent = world.now;
    world.pass(Duration::from_secs(3));
    assert_eq!(
        world.down(session(0), 5, DownlinkMessage::HeartbeatAnswer(1)),
        [LinkEffect::RenewLease { sent, lease: LEASE }]
    );
    assert_eq!(world.down(session(0), 5, DownlinkMessage::HeartbeatAnswer(1)), []);
    assert_eq!(world.down(session(0), 5, DownlinkMessage::HeartbeatAnswer(2)), []);
}

#[test]
fn another_master_is_dialled_when_two_heartbeats_are_not_answered() {
    let mut world = World::active();
    assert_eq!(world.wait(BEAT), [LinkEffect::SendHeartbeat(session(0), 1)]);
    assert_eq!(world.wait(BEAT), [LinkEffect::SendHeartbeat(session(0), 2)]);
    assert_eq!(
        world.wait(BEAT),
        [
            LinkEffect::Say(Notice::Unanswered),
            LinkEffect::Close(session(0)),
            LinkEffect::Dial(session(15_000), "b:2".into()),
        ]
    );
}

#[test]
fn a_late_answer_to_the_newer_heartbeat_covers_the_older() {
    let mut world = World::active();
    world.wait(BEAT);
    world.wait(BEAT);
    let sent = world.now;
    assert_eq!(
        world.down(session(0), 5, DownlinkMessage::HeartbeatAnswer(2)),
        [LinkEffect::RenewLease { sent, lease: LEASE }]
    );
    assert_eq!(world.wait(BEAT), [LinkEffect::SendHeartbeat(session(0), 3)]);
}

#[test]
fn no_heartbeat_goes_out_while_the_runner_does_not_answer() {
    let mut world = World::active();
    assert_eq!(world.tell(LinkInput::RunnerSilent), []);
    // The only deadline left is the end of the lease.
    assert_eq!(world.deadline(), Some(START + LEASE));
    world.pass(Duration::from_secs(12));
    assert_eq!(world.tell(LinkInput::Tick), []);
    assert_eq!(world.tell(LinkInput::RunnerAnswers), [LinkEffect::SendHeartbeat(session(0), 1)]);
}

#[test]
fn at_the_leases_end_the_stream_is_dropped_and_trees_are_ended_without_a_silent_runner() {
    let mut world = World::active();
    world.tell(LinkInput::RunnerSilent);
    assert_eq!(
        world.wait(LEASE),
        [LinkEffect::Say(Notice::LeaseEnded), LinkEffect::FenceWithoutRunner, LinkEffect::Close(session(0))]
    );
    // No hello goes out either: nothing could stop what it would lease.
    assert_eq!(world.deadline(), None);
    assert_eq!(world.tell(LinkInput::RunnerAnswers), [LinkEffect::Dial(session(45_000), "b:2".into())]);
}

#[test]
fn a_runner_that_is_found_silent_after_the_leases_end_has_its_trees_ended_at_once() {
    let mut world = World::active();
    // It stopped answering just before the end, and this was not noticed yet.
    world.pass(LEASE);
    assert!(!world.tell(LinkInput::Tick).contains(&LinkEffect::FenceWithoutRunner));
    assert_eq!(world.tell(LinkInput::RunnerSilent), [LinkEffect::FenceWithoutRunner]);
    assert_eq!(world.tell(LinkInput::RunnerSilent), [], "said once");
}

#[test]
fn at_the_leases_end_a_stream_that_still_seems_alive_begins_with_hello() {
    let mut world = World::active();
    for number in 1..=2 {
        world.wait(BEAT);
        world.down(session(0), 5, DownlinkMessage::HeartbeatAnswer(number));
    }
    // The agent was stopped for longer than the lease.
    world.pass(LEASE);
    assert_eq!(
        world.tell(LinkInput::Tick),
        [
            LinkEffect::Say(Notice::LeaseEnded),
            LinkEffect::Close(session(0)),
            LinkEffect::Dial(session(55_000), "b:2".into()),
        ]
    );
}
