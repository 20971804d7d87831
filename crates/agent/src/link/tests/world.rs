//! A link with a clock, and short helpers for its inputs.

use std::time::Duration;

use muster_types::*;

use crate::link::*;

pub(super) const BEAT: Duration = Duration::from_secs(5);
pub(super) const LEASE: Duration = Duration::from_secs(45);
pub(super) const START: Time = Time(1_000_000_000_000);

pub(super) struct World {
    pub(super) now: Time,
    link: Link,
}

pub(super) fn incarnation() -> Incarnation {
    Incarnation { counter: 3, random: 7 }
}

pub(super) fn cluster() -> ClusterUid {
    ClusterUid(0xC)
}

pub(super) fn epoch(revision: u64) -> Epoch {
    Epoch { generation: 1, revision, leader: LeaderUid(u128::from(revision)) }
}

pub(super) fn remembered(revision: u64) -> RememberedCluster {
    RememberedCluster { cluster: cluster(), epoch: epoch(revision) }
}

pub(super) fn driver(uid: u128) -> AttemptKey {
    AttemptKey::Driver(DriverUid(uid), AttemptNumber(1))
}

pub(super) fn report(uid: u128, sequence: u64, state: AttemptState) -> Report {
    Report {
        attempt: driver(uid),
        sequence,
        state,
        pid: None,
        started: None,
        ended: None,
        resources: AllocatedResources::default(),
        id: format!("driver-{uid}"),
    }
}

pub(super) fn ended(uid: u128, sequence: u64) -> Report {
    report(uid, sequence, AttemptState::Ended(Outcome::exited(Exit::Code(0))))
}

pub(super) fn kill(uid: u128) -> WorkerCommand {
    WorkerCommand::Kill { attempt: driver(uid), at_once: false, by: KilledBy::Operator }
}

pub(super) fn goodbye(reason: GoodbyeReason) -> DownlinkMessage {
    DownlinkMessage::Goodbye(ReceivedGoodbye { reason, message: "why".into() })
}

pub(super) fn welcome() -> DownlinkMessage {
    DownlinkMessage::Welcome(Welcome { cluster: cluster(), heartbeat: BEAT, lease: LEASE, masters: vec![] })
}

/// The session that is dialled `tick` milliseconds after the start, if none was dialled in that
/// millisecond.
pub(super) fn session(tick: u64) -> Session {
    Session(START.0 / 1_000_000 + tick)
}

impl World {
    pub(super) fn new(remembered: Option<RememberedCluster>) -> World {
        World::with(Link::new(vec!["a:1".into(), "b:2".into()], remembered))
    }

    pub(super) fn with(link: Link) -> World {
        World { now: START, link }
    }

    /// A world whose first stream, `session(0)` to `a:1`, is active under `epoch(5)`.
    pub(super) fn active() -> World {
        let mut world = World::new(Some(remembered(5)));
        world.tell(LinkInput::RunnerReady(incarnation()));
        world.activate(session(0), 5, vec![]);
        world
    }

    /// Takes a dialled stream to the point where its inventory has gone up.
    pub(super) fn activate(&mut self, session: Session, revision: u64, inventory: Vec<Report>) -> Vec<LinkEffect> {
        let mut effects = self.tell(LinkInput::Connected(session));
        effects.extend(self.down(session, revision, welcome()));
        effects.extend(self.tell(LinkInput::Persisted(remembered(revision))));
        effects.extend(self.tell(LinkInput::Inventory(session, inventory)));
        effects
    }

    /// Tells the machine something, with entropy that makes every delay zero.
    pub(super) fn tell(&mut self, input: LinkInput) -> Vec<LinkEffect> {
        self.tell_with(0, input)
    }

    pub(super) fn tell_with(&mut self, entropy: u64, input: LinkInput) -> Vec<LinkEffect> {
        self.link.handle(self.now, entropy, input);
        self.link.drain().collect()
    }

    pub(super) fn down(&mut self, session: Session, revision: u64, message: DownlinkMessage) -> Vec<LinkEffect> {
        self.tell(LinkInput::Down(session, NumberedDownlink { epoch: Some(epoch(revision)), session, message }))
    }

    /// Lets time pass up to the next deadline, which must be `after` this.
    pub(super) fn wait(&mut self, after: Duration) -> Vec<LinkEffect> {
        assert_eq!(self.link.next_deadline(), Some(self.now + after));
        self.now = self.now + after;
        self.tell(LinkInput::Tick)
    }

    pub(super) fn pass(&mut self, length: Duration) {
        self.now = self.now + length;
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.link.next_deadline()
    }
}
