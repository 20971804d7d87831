//! Who has been heard, and when. The master holds the table behind a mutex, outside the commit
//! loop, so that a heartbeat never waits behind a commit.
//!
//! The order that makes it sound: a heartbeat is entered here *before* it is answered, expiry marks
//! *here* before anything is decided, and what is marked is never answered until the core has made
//! the loss durable (`Effect::WorkerLossCommitted` → [`LivenessTable::settle`]).

use std::collections::BTreeMap;
use std::time::Duration;

use muster_types::{Session, Time, WorkerUid};

/// What a worker may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heartbeat {
    /// Answer it: its lease is renewed.
    Ack,
    /// Never answer it; tell it to say hello anew.
    Reconnect,
}

/// How far the loss of a worker has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// It is waited for.
    None,
    /// Marked here; the core has yet to decide.
    Marked,
    /// The core's decision is durable: a later hello is a return.
    Settled,
}

#[derive(Debug, Clone, Copy)]
struct LivenessEntry {
    /// `None`: known from the store, not heard by this leader.
    session: Option<Session>,
    heard: Time,
    loss: Loss,
}

/// The liveness table.
#[derive(Debug, Default)]
pub struct LivenessTable {
    entries: BTreeMap<WorkerUid, LivenessEntry>,
}

impl LivenessTable {
    /// An empty table.
    pub fn new() -> LivenessTable {
        LivenessTable::default()
    }

    /// At a leader's win: every known worker that is not lost yet is waited for from now, whenever
    /// it was heard last.
    pub fn reset_all(&mut self, workers: impl IntoIterator<Item = WorkerUid>, now: Time) {
        self.entries = workers
            .into_iter()
            .map(|worker| (worker, LivenessEntry { session: None, heard: now, loss: Loss::None }))
            .collect();
    }

    /// Before a welcome is sent. `received` is when its hello was read: the worker timeout counts
    /// from there, because the worker's lease counts from its sending. A hello that the core took
    /// before it heard of the worker's loss is not welcomed.
    pub fn welcome(&mut self, worker: WorkerUid, session: Session, received: Time) -> Heartbeat {
        let entry =
            self.entries.entry(worker).or_insert(LivenessEntry { session: None, heard: received, loss: Loss::None });
        match entry.loss {
            Loss::Marked => Heartbeat::Reconnect,
            Loss::None | Loss::Settled => {
                let heard = if entry.loss == Loss::None { entry.heard.max(received) } else { received };
                *entry = LivenessEntry { session: Some(session), heard, loss: Loss::None };
                Heartbeat::Ack
            }
        }
    }

    /// A heartbeat was read. Enters it, then says whether it may be answered; the leader checks its
    /// own deadline in between.
    pub fn heard(&mut self, worker: WorkerUid, session: Session, now: Time) -> Heartbeat {
        match self.entries.get_mut(&worker) {
            Some(entry) if entry.loss == Loss::None && entry.session == Some(session) => {
                entry.heard = entry.heard.max(now);
                Heartbeat::Ack
            }
            Some(_) | None => Heartbeat::Reconnect,
        }
    }

    /// Marks every worker that has not been heard for `wait`. Hand them to the core as
    /// `Input::Expired`.
    pub fn expire(&mut self, now: Time, wait: Duration) -> Vec<WorkerUid> {
        let mut lost = Vec::new();
        for (worker, entry) in &mut self.entries {
            if entry.loss == Loss::None && now.since(entry.heard) >= wait {
                entry.loss = Loss::Marked;
                lost.push(*worker);
            }
        }
        lost
    }

    /// The core's decision about a marked worker is durable.
    pub fn settle(&mut self, worker: WorkerUid) {
        if let Some(entry) = self.entries.get_mut(&worker) {
            entry.loss = Loss::Settled;
        }
    }

    /// The loop that reads heartbeats was late by this: nobody is blamed for it.
    pub fn extend_all(&mut self, late: Duration) {
        for entry in self.entries.values_mut() {
            entry.heard = entry.heard + late;
        }
    }

    /// A worker was forgotten: it is neither waited for nor answered.
    pub fn remove(&mut self, worker: WorkerUid) {
        self.entries.remove(&worker);
    }

    /// When the next worker expires if nothing is heard.
    pub fn next_deadline(&self, wait: Duration) -> Option<Time> {
        self.entries.values().filter(|entry| entry.loss == Loss::None).map(|entry| entry.heard + wait).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(50);
    const W: WorkerUid = WorkerUid(1);

    fn at(seconds: u64) -> Time {
        Time::default() + Duration::from_secs(seconds)
    }

    #[test]
    fn a_heartbeat_moves_the_deadline() {
        let mut table = LivenessTable::new();
        assert_eq!(table.welcome(W, Session(1), at(0)), Heartbeat::Ack);
        assert_eq!(table.heard(W, Session(1), at(49)), Heartbeat::Ack);
        assert_eq!(table.expire(at(98), WAIT), []);
        assert_eq!(table.next_deadline(WAIT), Some(at(99)));
        assert_eq!(table.expire(at(99), WAIT), [W]);
        assert_eq!(table.expire(at(200), WAIT), [], "marked once");
    }

    #[test]
    fn a_lost_worker_is_never_answered_until_its_loss_is_durable() {
        let mut table = LivenessTable::new();
        table.welcome(W, Session(1), at(0));
        table.expire(at(50), WAIT);
        assert_eq!(table.heard(W, Session(1), at(51)), Heartbeat::Reconnect);
        // The core took this hello before it heard of the loss: welcoming it would renew leases
        // that it is about to close.
        assert_eq!(table.welcome(W, Session(2), at(49)), Heartbeat::Reconnect);
        table.settle(W);
        assert_eq!(table.heard(W, Session(1), at(52)), Heartbeat::Reconnect);
        assert_eq!(table.welcome(W, Session(3), at(53)), Heartbeat::Ack);
        assert_eq!(table.heard(W, Session(3), at(54)), Heartbeat::Ack);
    }

    #[test]
    fn only_the_present_session_is_answered() {
        let mut table = LivenessTable::new();
        table.welcome(W, Session(1), at(0));
        table.welcome(W, Session(2), at(1));
        assert_eq!(table.heard(W, Session(1), at(40)), Heartbeat::Reconnect);
        assert_eq!(table.expire(at(51), WAIT), [W], "an older stream's heartbeat renews nothing");
    }

    #[test]
    fn a_new_leader_waits_for_all_from_its_win() {
        let mut table = LivenessTable::new();
        table.welcome(W, Session(7), at(0));
        table.reset_all([W], at(40));
        assert_eq!(table.heard(W, Session(7), at(41)), Heartbeat::Reconnect, "this leader has not welcomed it");
        assert_eq!(table.expire(at(89), WAIT), []);
        assert_eq!(table.expire(at(90), WAIT), [W]);
    }

    #[test]
    fn lateness_is_forgiven() {
        let mut table = LivenessTable::new();
        table.welcome(W, Session(1), at(0));
        table.extend_all(Duration::from_secs(30));
        assert_eq!(table.expire(at(79), WAIT), []);
        assert_eq!(table.expire(at(80), WAIT), [W]);
    }
}
