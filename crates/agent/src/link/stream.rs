//! The current stream.

use std::time::Duration;

use muster_types::{Epoch, Session, Time};

use super::RememberedCluster;

/// How long a dial may take. A running machine answers in milliseconds, or after the second at
/// which the kernel repeats a lost packet.
pub(super) const CONNECT_PATIENCE: Duration = Duration::from_millis(1_500);
/// How long a hello may wait: a leader that still loads keeps it waiting, and a dead one never
/// answers.
pub(super) const HELLO_PATIENCE: Duration = Duration::from_secs(10);
/// Heartbeats that may stay unanswered before another master is dialled.
pub(super) const UNANSWERED_LIMIT: u64 = 2;
/// The shortest interval between heartbeats. More heartbeats gain nothing, so a leader that
/// dictates a shorter interval gets this one.
const HEARTBEAT_MIN: Duration = Duration::from_millis(10);

/// The stream that is current, or none.
///
/// `Idle → Dialing → Greeting → Remembering → Counting → Active`, and from each of them back to
/// `Idle` when it breaks, says goodbye, is not answered, or when the runner goes. `Remembering` is
/// skipped when the epoch is on disk already.
#[derive(Debug)]
pub(super) enum StreamState {
    /// No stream; the next is dialled at `dial_at`.
    Idle { dial_at: Time },
    /// Being opened.
    Dialing { session: Session, master: String, until: Time },
    /// The hello was sent.
    Greeting { session: Session, master: String, sent: Time, until: Time },
    /// The welcome has come, and the epoch is on its way to disk.
    Remembering { session: Session, terms: StreamTerms, hello_sent: Time },
    /// The runner was asked for its inventory.
    Counting { session: Session, terms: StreamTerms },
    /// The inventory went up.
    Active { session: Session, terms: StreamTerms, heartbeats: Heartbeats },
}

/// What the leader of a stream dictates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StreamTerms {
    pub(super) master: String,
    pub(super) remembered: RememberedCluster,
    pub(super) heartbeat: Duration,
    pub(super) lease: Duration,
}

impl StreamTerms {
    pub(super) fn epoch(&self) -> Epoch {
        self.remembered.epoch
    }

    pub(super) fn interval(&self) -> Duration {
        self.heartbeat.max(HEARTBEAT_MIN)
    }
}

impl StreamState {
    /// The session of the current stream.
    pub(super) fn session(&self) -> Option<Session> {
        match self {
            StreamState::Idle { .. } => None,
            StreamState::Dialing { session, .. }
            | StreamState::Greeting { session, .. }
            | StreamState::Remembering { session, .. }
            | StreamState::Counting { session, .. }
            | StreamState::Active { session, .. } => Some(*session),
        }
    }

    /// What its leader dictates, once the welcome has come.
    pub(super) fn terms(&self) -> Option<&StreamTerms> {
        match self {
            StreamState::Idle { .. } | StreamState::Dialing { .. } | StreamState::Greeting { .. } => None,
            StreamState::Remembering { terms, .. }
            | StreamState::Counting { terms, .. }
            | StreamState::Active { terms, .. } => Some(terms),
        }
    }
}

/// The heartbeats of one stream that may still be answered.
#[derive(Debug)]
pub(super) struct Heartbeats {
    /// When the next is due.
    pub(super) due: Time,
    /// Number of the last one sent.
    last: u64,
    /// Number and sending time of those that are not answered, oldest first.
    unanswered: Vec<(u64, Time)>,
}

impl Heartbeats {
    pub(super) fn new(due: Time) -> Heartbeats {
        Heartbeats { due, last: 0, unanswered: Vec::new() }
    }

    /// Numbers the next heartbeat, which is sent now.
    pub(super) fn send(&mut self, now: Time, interval: Duration) -> u64 {
        self.last += 1;
        self.unanswered.push((self.last, now));
        self.due = now + interval;
        self.last
    }

    /// Takes an answer. Returns the sending time of the heartbeat that it answers, and drops every
    /// older one; `None` if no open heartbeat has this number.
    pub(super) fn answered(&mut self, number: u64) -> Option<Time> {
        let position = self.unanswered.iter().position(|(open, _)| *open == number)?;
        let (_, sent) = self.unanswered[position];
        self.unanswered.drain(..=position);
        Some(sent)
    }

    /// Whether too many heartbeats are unanswered.
    pub(super) fn gave_up(&self) -> bool {
        self.unanswered.len() as u64 >= UNANSWERED_LIMIT
    }
}
