//! The role of a standby: it waits to lead, and forwards calls meanwhile.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use muster_store::{Candidate, Leader, LeaderWatch};
use muster_tls::Trust;
use muster_traces::Traces;
use muster_types::Time;
use tokio::sync::watch;

use super::fatal::FatalError;
use super::recovering::Recovering;
use super::succession::{Depositions, watch_over};
use super::warm_state::WarmState;
use crate::clock;
use crate::config::MasterSettings;
use crate::leader::LeaderSlot;
use crate::metrics::MasterMetrics;
use crate::poison_inputs::{InputDigest, PoisonInputs};
use crate::stop::until_stopped;

/// What outlives every role of one process.
pub(crate) struct MasterProcess<C> {
    pub candidate: C,
    pub settings: Arc<MasterSettings>,
    /// Address at which others reach this master.
    pub address: String,
    /// Whom other masters are trusted by, where connections are encrypted.
    pub trust: Option<Trust>,
    /// Where handlers find the leader.
    pub slot: Arc<LeaderSlot>,
    /// Inputs that are refused for a while.
    pub poison_inputs: Arc<PoisonInputs>,
    /// The last leader that this master deposed.
    pub depositions: Depositions,
    /// What this master measures.
    pub metrics: Arc<MasterMetrics>,
    /// Where the spans of what it does go.
    pub traces: Traces,
    /// Set once the process is to end.
    pub stop: watch::Receiver<bool>,
    /// The times of the core's recent panics.
    tears: VecDeque<Time>,
}

/// How many panics of the core within [`TEARS_WITHIN`] are tolerated. Each costs every worker a
/// hello.
const TEARS: usize = 5;
/// A panic of the core that is older than this no longer counts.
const TEARS_WITHIN: Duration = Duration::from_secs(60);

impl<C> MasterProcess<C> {
    #[expect(clippy::too_many_arguments, reason = "what a master is made of, each of its own type")]
    pub(crate) fn new(
        candidate: C,
        settings: Arc<MasterSettings>,
        address: String,
        trust: Option<Trust>,
        slot: Arc<LeaderSlot>,
        metrics: Arc<MasterMetrics>,
        traces: Traces,
        stop: watch::Receiver<bool>,
    ) -> MasterProcess<C> {
        let (poison_inputs, depositions, tears) = (Arc::default(), Depositions::default(), VecDeque::new());
        MasterProcess {
            candidate,
            settings,
            address,
            trust,
            slot,
            poison_inputs,
            depositions,
            metrics,
            traces,
            stop,
            tears,
        }
    }

    /// The core panicked. The input that it handled is refused for a while. Too many panics end the
    /// process.
    pub(crate) fn panicked(&mut self, input: Option<InputDigest>) -> Result<(), FatalError> {
        let now = clock::boottime();
        if let Some(input) = input {
            self.poison_inputs.add(input, now);
        }
        self.tears.push_back(now);
        while self.tears.front().is_some_and(|first| now.since(*first) > TEARS_WITHIN) {
            self.tears.pop_front();
        }
        if self.tears.len() > TEARS { Err(FatalError::Torn(self.tears.len())) } else { Ok(()) }
    }
}

/// A master that does not lead. Calls are forwarded to the leader; while nobody leads, they are
/// held for a moment and then answered `NO_LEADER`.
pub(crate) struct Standby<C>(pub MasterProcess<C>);

/// The longest wait between two tries to campaign on a store that cannot be reached.
const CAMPAIGN_AGAIN: Duration = Duration::from_secs(1);

impl<C: Candidate> Standby<C>
where
    C::Store: 'static,
{
    /// Waits until this process leads; the inner `Err` means that it was told to stop first.
    pub(crate) async fn run(self) -> Result<Result<Recovering<C>, MasterProcess<C>>, FatalError> {
        let Standby(mut node) = self;
        let mut prepared = WarmState::new(node.settings.core.clone());
        let won = {
            let MasterProcess { candidate, depositions, slot, stop, trust, .. } = &mut node;
            let (election, replica) = (candidate.election(), candidate.replica());
            // What an earlier role built from the replica is gone, so the next update must be a
            // full one.
            replica.forget();
            tokio::select! {
                won = campaign(candidate) => Some(won?),
                () = until_stopped(stop) => None,
                never = watch_over(election.clone(), depositions, trust.as_ref()) => match never {},
                never = prepared.follow(replica, slot) => match never {},
                never = watch_store_rollback(election, slot) => match never {},
            }
        };
        let Some(leader) = won else { return Ok(Err(node)) };
        // Taken before the load, because every worker timeout counts from the win.
        let won = clock::now();
        tracing::info!(epoch = %leader.epoch, cluster = %leader.cluster.name, uid = %leader.cluster.uid, "leads");
        Ok(Ok(Recovering { node, leader, prepared, won }))
    }
}

/// Halts the slot while the store is one that went back in time, so that callers learn why nobody
/// leads. Never ends.
async fn watch_store_rollback(mut election: LeaderWatch, slot: &LeaderSlot) -> Infallible {
    let mut halted = false;
    loop {
        let rolled_back = election.view().rolled_back;
        if std::mem::replace(&mut halted, rolled_back) != rolled_back {
            if rolled_back { slot.halt() } else { slot.set(None) }
        }
        election.changed().await;
    }
}

/// Campaigns until the lead is won.
async fn campaign<C: Candidate>(candidate: &mut C) -> Result<Leader<C::Store>, FatalError> {
    let mut pause = Duration::from_millis(50);
    loop {
        match candidate.campaign().await {
            Ok(leader) => return Ok(leader),
            Err(error) if error.is_fatal() => return Err(FatalError::Campaign(error)),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot stand for the lead; trying again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(CAMPAIGN_AGAIN);
            }
        }
    }
}
