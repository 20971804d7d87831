//! When each worker was last heard. The master keeps the table behind a mutex outside the commit
//! loop, so that a heartbeat never waits for a commit.
//!
//! The table is sound because of this order: a heartbeat is entered here *before* it is answered;
//! expiry marks a worker *here* before anything is decided; and a marked worker is not answered
//! until the core has made its loss durable (`Effect::WorkerLossCommitted` →
//! [`LivenessTable::settle`]).

use std::collections::BTreeMap;
use std::time::Duration;

use muster_types::{Session, Time, WorkerUid};

/// The permitted answer to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heartbeat {
    /// Answer it: its lease is renewed.
    Ack,
    /// Do not answer it; make it send a new hello.
    Reconnect,
}

/// The stage of a worker's loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// The worker is not lost.
    None,
    /// Marked here; the core has not decided yet.
    Marked,
    /// The core's decision is durable; a later hello brings the worker back.
    Settled,
}

#[derive(Debug, Clone, Copy)]
struct LivenessEntry {
    /// `None` for a worker that is known from the store and was not heard by this leader.
    session: Option<Session>,
    heard: Time,
    loss: Loss,
}

/// When each worker was heard, and whether it is lost.
#[derive(Debug, Default)]
pub struct LivenessTable {
    entries: BTreeMap<WorkerUid, LivenessEntry>,
}

impl LivenessTable {
    /// An empty table.
    pub fn new() -> LivenessTable {
        LivenessTable::default()
    }

    /// Called when a leader's term begins: the worker timeout of every known worker that is not
    /// lost starts now, whenever the worker was last heard.
    pub fn reset_all(&mut self, workers: impl IntoIterator<Item = WorkerUid>, now: Time) {
        self.entries = workers
            .into_iter()
            .map(|worker| (worker, LivenessEntry { session: None, heard: now, loss: Loss::None }))
            .collect();
    }

    /// Called before a welcome is sent. `received` is when the hello was read: the worker timeout
    /// counts from there, because the worker's lease counts from the sending of it. A hello that
    /// the core accepted before it learned of the worker's loss is not welcomed.
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

    /// Enters a heartbeat that was read, then returns whether it may be answered. In between, the
    /// leader checks its own deadline.
    pub fn heard(&mut self, worker: WorkerUid, session: Session, now: Time) -> Heartbeat {
        match self.entries.get_mut(&worker) {
            Some(entry) if entry.loss == Loss::None && entry.session == Some(session) => {
                entry.heard = entry.heard.max(now);
                Heartbeat::Ack
            }
            Some(_) | None => Heartbeat::Reconnect,
        }
    }

    /// Marks every worker that has not been heard for `wait`. The caller passes them to the core as
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

    /// Called when the core's decision about a marked worker is durable.
    pub fn settle(&mut self, worker: WorkerUid) {
        if let Some(entry) = self.entries.get_mut(&worker) {
            entry.loss = Loss::Settled;
        }
    }

    /// Extends all deadlines by the delay of the loop that reads heartbeats, which is not the
    /// workers' fault.
    pub fn extend_all(&mut self, late: Duration) {
        for entry in self.entries.values_mut() {
            entry.heard = entry.heard + late;
        }
    }

    /// Removes a forgotten worker: it neither expires nor is answered.
    pub fn remove(&mut self, worker: WorkerUid) {
        self.entries.remove(&worker);
    }

    /// When the next worker expires, if nothing is heard until then.
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
        // The core accepted this hello before it learned of the loss. A welcome would renew leases
        // that the core is about to close.
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
