//! Waits to lead.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use muster_store::Candidate;
use muster_types::Time;
use tokio::sync::watch;

use super::fault::Fault;
use super::recovering::Recovering;
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
    /// What probes are told.
    pub health: Health,
    /// Inputs that are refused for a while.
    pub refused: Arc<Refused>,
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
        let (refused, tears) = (Arc::default(), VecDeque::new());
        Node { candidate, settings, address, seat, health, refused, stop, tears }
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

/// A master that does not lead. Until one does, every call is answered `NO_LEADER`.
pub(crate) struct Standby<C>(pub Node<C>);

impl<C: Candidate> Standby<C>
where
    C::Store: 'static,
{
    /// Waits until this process leads; `None` when it is told to stop first.
    pub(crate) async fn run(self) -> Result<Option<Recovering<C>>, Fault> {
        let Standby(mut node) = self;
        let mut stop = node.stop.clone();
        let leader = tokio::select! {
            won = node.candidate.campaign() => won.map_err(Fault::Campaign)?,
            () = told(&mut stop) => return Ok(None),
        };
        // Before the load: every wait counts from the win.
        let won = clock::now();
        tracing::info!(epoch = %leader.epoch, cluster = %leader.cluster.name, uid = %leader.cluster.uid, "leads");
        Ok(Some(Recovering { node, leader, won }))
    }
}
