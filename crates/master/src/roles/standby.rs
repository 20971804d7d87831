//! Waits to lead, and meanwhile serves by forwarding.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use muster_store::{Candidate, Election, Leader};
use muster_types::Time;
use tokio::sync::watch;

use super::fault::Fault;
use super::front_door::FrontDoor;
use super::prepared::Prepared;
use super::recovering::Recovering;
use super::succession::{Depositions, watch_over};
use crate::clock;
use crate::config::Settings;
use crate::health::Health;
use crate::leading::Seat;
use crate::refused::{Fingerprint, Refused};
use crate::stop::told;

/// What outlives every role of one process.
pub(crate) struct Node<C> {
    /// What may lead.
    pub candidate: C,
    /// Settings.
    pub settings: Arc<Settings>,
    /// Address at which others reach this master.
    pub address: String,
    /// Where handlers find the leader.
    pub seat: Arc<Seat>,
    /// What tells others that calls are answered here.
    pub front_door: FrontDoor,
    /// Inputs that are refused for a while.
    pub refused: Arc<Refused>,
    /// Leaders that this master has deposed.
    pub depositions: Depositions,
    /// Set once the process shall end.
    pub stop: watch::Receiver<bool>,
    /// When the core panicked, lately.
    tears: VecDeque<Time>,
}

/// Panics of the core within [`TEARS_WITHIN`] that are borne: each costs every worker a hello.
const TEARS: usize = 5;
/// Past this, a panic of the core is no longer held against it.
const TEARS_WITHIN: Duration = Duration::from_secs(60);

impl<C> Node<C> {
    /// A node that has not led yet.
    pub(crate) fn new(
        candidate: C,
        settings: Arc<Settings>,
        address: String,
        seat: Arc<Seat>,
        health: Health,
        stop: watch::Receiver<bool>,
    ) -> Node<C> {
        let (refused, depositions, tears) = (Arc::default(), Depositions::default(), VecDeque::new());
        let front_door = FrontDoor::new(health, &settings, &address);
        Node { candidate, settings, address, seat, front_door, refused, depositions, stop, tears }
    }

    /// The core panicked on an input: it is refused for a while. Too many such ends the process.
    pub(crate) fn torn(&mut self, input: Option<Fingerprint>) -> Result<(), Fault> {
        let now = clock::boottime();
        if let Some(input) = input {
            self.refused.add(input, now);
        }
        self.tears.push_back(now);
        while self.tears.front().is_some_and(|first| now.since(*first) > TEARS_WITHIN) {
            self.tears.pop_front();
        }
        if self.tears.len() > TEARS { Err(Fault::Torn(self.tears.len())) } else { Ok(()) }
    }
}

/// A master that does not lead. Calls are forwarded to whoever does; until somebody does, they are answered `NO_LEADER`.
pub(crate) struct Standby<C>(pub Node<C>);

/// Longest wait between two tries to stand for the lead on a store that cannot be reached.
const CAMPAIGN_AGAIN: Duration = Duration::from_secs(1);

impl<C: Candidate> Standby<C>
where
    C::Store: 'static,
{
    /// Waits until this process leads; `Err` within when it is told to stop first.
    pub(crate) async fn run(self) -> Result<Result<Recovering<C>, Node<C>>, Fault> {
        let Standby(mut node) = self;
        let mut prepared = Prepared::new(node.settings.core.clone());
        let won = {
            let Node { candidate, front_door, depositions, seat, stop, .. } = &mut node;
            let (election, replica) = (candidate.election(), candidate.replica());
            // What an earlier role made of it is gone.
            replica.forget();
            tokio::select! {
                won = campaign(candidate) => Some(won?),
                () = told(stop) => None,
                never = watch_over(election.clone(), depositions) => match never {},
                never = prepared.follow(replica) => match never {},
                never = heed(election.clone(), seat) => match never {},
                failed = front_door.follow(election) => return Err(failed),
            }
        };
        let Some(leader) = won else { return Ok(Err(node)) };
        // Before the load: every wait counts from the win.
        let won = clock::now();
        tracing::info!(epoch = %leader.epoch, cluster = %leader.cluster.name, uid = %leader.cluster.uid, "leads");
        Ok(Ok(Recovering { node, leader, prepared, won }))
    }
}

/// Tells callers while the store is one that went back in time: nobody leads on it. Never ends.
async fn heed(mut election: Election, seat: &Seat) -> Infallible {
    let mut halted = false;
    loop {
        let went_back = election.standing().went_back;
        if std::mem::replace(&mut halted, went_back) != went_back {
            if went_back { seat.halt() } else { seat.set(None) }
        }
        election.changed().await;
    }
}

/// Stands for the lead until it is won.
async fn campaign<C: Candidate>(candidate: &mut C) -> Result<Leader<C::Store>, Fault> {
    let mut pause = Duration::from_millis(50);
    loop {
        match candidate.campaign().await {
            Ok(leader) => return Ok(leader),
            Err(error) if error.is_fatal() => return Err(Fault::Campaign(error)),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot stand for the lead; trying again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(CAMPAIGN_AGAIN);
            }
        }
    }
}
