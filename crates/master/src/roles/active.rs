//! Leads.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use muster_store::{Candidate, Leader};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinHandle};

use super::fault::Fault;
use super::halted::Halted;
use super::standby::{Node, Standby};
use crate::clock;
use crate::commit::{CommitLoop, Ended};
use crate::leading::{Leading, Order};
use crate::link::{Farewell, expire_silent};
use crate::stop::told;

/// A leader with everything loaded.
pub(crate) struct Active<C: Candidate> {
    pub(super) node: Node<C>,
    pub(super) leading: Arc<Leading>,
    pub(super) commit_loop: CommitLoop<C::Store>,
    pub(super) stop_loop: watch::Sender<bool>,
    pub(super) publishing: Pin<Box<dyn Future<Output = ()> + Send>>,
    pub(super) orders: mpsc::Receiver<Order>,
}

/// What a leader becomes.
pub(crate) enum Next<C: Candidate> {
    /// One that waits to lead again.
    Standby(Standby<C>),
    /// One that owns the key and does nothing with it.
    Halted(Halted<C>),
    /// It was told to stop. What outlives the roles lives on until nobody is served any more.
    Stopped(Node<C>),
}

/// Why a leader ceases to lead.
enum Why {
    /// It was told to stop.
    Stop,
    /// It was told to hand over.
    StepDown(oneshot::Sender<()>),
    /// Its time is over: it has not heard from the store, or its key is gone.
    Over,
    /// The store went back in time.
    Restored,
    /// The commit loop has ended.
    Loop,
}

type Loop<S> = JoinHandle<(Ended, Option<S>)>;
type Looped<S> = Result<(Ended, Option<S>), JoinError>;

impl<C: Candidate> Active<C>
where
    C::Store: 'static,
{
    /// Leads until told to stop or to hand over, deposed, or the store or the core fails.
    pub(crate) async fn run(self) -> Result<Next<C>, Fault> {
        let Active { mut node, leading, commit_loop, stop_loop, publishing, mut orders } = self;
        let (warm, warmed) = oneshot::channel();
        let publishing = tokio::spawn(publishing);
        let mut looping = tokio::spawn(commit_loop.run(warm));
        let expiry = tokio::spawn(expire_silent(leading.clone(), node.settings.timing.wait()));

        let began = match warmed.await {
            Ok(()) => begin(&mut node, &leading).await,
            // The loop ended before it was ready; it says why below.
            Err(_) => Ok(()),
        };
        let mut finished = None;
        let why = match &began {
            Ok(()) => until_over(node.stop.clone(), &leading, &mut orders, &mut looping, &mut finished).await,
            Err(_) => Why::Stop,
        };
        match why {
            Why::Restored => node.seat.halt(),
            Why::Stop | Why::StepDown(_) | Why::Over | Why::Loop => node.seat.set(None),
        }
        leading.hub.close();
        leading.sessions.close();
        stop_loop.send_replace(true);
        let finished = match finished {
            Some(finished) => finished,
            None => looping.await,
        };
        let (ended, store) = finished.map_err(Fault::Lost)?;
        expiry.abort();
        publishing.abort();
        began?;
        match ended {
            Ended::Fatal(error) => return Err(Fault::Commit(error)),
            Ended::Torn(torn) => {
                tracing::error!(?torn, "the decisions failed; starting anew from the records");
                node.torn(torn.input)?;
            }
            Ended::Deposed(error) | Ended::Unknown(error) => tracing::warn!(%error, "deposed"),
            Ended::Stopped => {}
        }
        Ok(leave(node, &leading, why, store).await)
    }
}

/// Waits until there is a reason to lead no more.
async fn until_over<S>(
    mut stop: watch::Receiver<bool>,
    leading: &Leading,
    orders: &mut mpsc::Receiver<Order>,
    looping: &mut Loop<S>,
    finished: &mut Option<Looped<S>>,
) -> Why {
    loop {
        let order = tokio::select! {
            () = told(&mut stop) => return Why::Stop,
            () = clock::past(leading.deadline.clone()) => {
                tracing::warn!("leadership is over: the store has not answered in time, or the key is gone");
                return Why::Over;
            }
            result = &mut *looping => {
                *finished = Some(result);
                return Why::Loop;
            }
            order = orders.recv() => order,
        };
        match order {
            Some(Order::StepDown(done)) => {
                tracing::info!(epoch = %leading.epoch, "told to hand over");
                return Why::StepDown(done);
            }
            Some(Order::Suspect(seen)) => match leading.election.holds(leading.epoch).await {
                // Whoever owns the key leads: no later epoch of this generation can be, unless the store forgot it.
                Ok(true) => {
                    tracing::error!(%seen, ours = %leading.epoch,
                        "a worker has seen a later epoch of this generation: the store was restored from the past. \
                         Nothing is done until `muster-master recover` raises the generation");
                    return Why::Restored;
                }
                Ok(false) => return Why::Over,
                Err(error) => tracing::warn!(%error, "cannot find out whether the store went back in time"),
            },
            // The sender lives in what leads.
            None => return Why::Over,
        }
    }
}

/// Gives the key up, then sends the workers to whoever leads next.
async fn leave<C: Candidate>(mut node: Node<C>, leading: &Leading, why: Why, store: Option<C::Store>) -> Next<C> {
    let term = store.map(|store| Leader {
        epoch: leading.epoch,
        cluster: leading.cluster.clone(),
        deadline: leading.deadline.clone(),
        store,
    });
    match (&why, term) {
        (Why::Restored, Some(term)) => {
            leading.links.close(&Farewell::NotLeader(None));
            return Next::Halted(Halted { node, term });
        }
        (_, Some(term)) => node.candidate.resign(term).await,
        (_, None) => {}
    }
    let standing = leading.election.standing();
    let next = standing.members.iter().find(|member| member.epoch != leading.epoch);
    let next = next.map(|member| member.address.clone());
    let farewell = match (&why, next) {
        (Why::Stop, None) => Farewell::Shutdown,
        (Why::Stop | Why::StepDown(_), next) => Farewell::NotLeader(next),
        (Why::Over | Why::Loop | Why::Restored, _) => Farewell::SayHello,
    };
    leading.links.close(&farewell);
    match why {
        Why::Stop => return Next::Stopped(node),
        // Whoever asked may have gone away.
        Why::StepDown(done) => drop(done.send(())),
        Why::Over | Why::Loop | Why::Restored => {}
    }
    Next::Standby(Standby(node))
}

/// Everything is loaded and shown: from here on calls are answered.
async fn begin<C: Candidate>(node: &mut Node<C>, leading: &Arc<Leading>) -> Result<(), Fault> {
    node.seat.set(Some(leading.clone()));
    node.front_door.open().await?;
    tracing::info!(address = %node.address, "ready");
    Ok(())
}
