//! The role of the leader.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use muster_store::{Candidate, Leader};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinHandle};

use super::fatal::FatalError;
use super::halted::Halted;
use super::standby::{MasterProcess, Standby};
use crate::clock;
use crate::commit::{CommitLoop, LoopEnd};
use crate::leader::{LeaderContext, RoleCommand};
use crate::link::{Goodbye, expire_silent};
use crate::stop::until_stopped;

/// A leader with everything loaded.
pub(crate) struct Active<C: Candidate> {
    pub(super) node: MasterProcess<C>,
    pub(super) leading: Arc<LeaderContext>,
    pub(super) commit_loop: CommitLoop<C::Store>,
    pub(super) stop_loop: watch::Sender<bool>,
    pub(super) publishing: Pin<Box<dyn Future<Output = ()> + Send>>,
    pub(super) role_commands: mpsc::Receiver<RoleCommand>,
}

/// What a leader becomes.
pub(crate) enum RoleAfter<C: Candidate> {
    /// A standby, which may lead again.
    Standby(Standby<C>),
    /// A master that keeps the key and does nothing.
    Halted(Halted<C>),
    /// The process was told to stop. What outlives the roles is kept until nobody is served any
    /// more.
    Stopped(MasterProcess<C>),
}

/// Why a term ends.
enum EndReason {
    /// It was told to stop.
    Stop,
    /// It was told to hand over.
    StepDown(oneshot::Sender<()>),
    /// Its time is over: the store has not answered, or the key is gone.
    Over,
    /// The store went back in time.
    Restored,
    /// The commit loop has ended.
    Loop,
}

type Loop<S> = JoinHandle<(LoopEnd, Option<S>)>;
type Looped<S> = Result<(LoopEnd, Option<S>), JoinError>;

impl<C: Candidate> Active<C>
where
    C::Store: 'static,
{
    /// Leads until it is told to stop or to hand over, is deposed, or the store or the core fails.
    pub(crate) async fn run(self) -> Result<RoleAfter<C>, FatalError> {
        let Active { mut node, leading, commit_loop, stop_loop, publishing, mut role_commands } = self;
        let (warm, warmed) = oneshot::channel();
        let publishing = tokio::spawn(publishing);
        let mut looping = tokio::spawn(commit_loop.run(warm));
        let expiry = tokio::spawn(expire_silent(leading.clone(), node.settings.timing.wait()));

        // Otherwise the loop ended before it was ready; its result below says why.
        if let Ok(()) = warmed.await {
            begin(&node, &leading);
        }
        let mut finished = None;
        let reason = until_over(node.stop.clone(), &leading, &mut role_commands, &mut looping, &mut finished).await;
        match reason {
            EndReason::Restored => node.slot.halt(),
            EndReason::Stop | EndReason::StepDown(_) | EndReason::Over | EndReason::Loop => node.slot.set(None),
        }
        leading.broker.close();
        leading.sessions.close();
        stop_loop.send_replace(true);
        let finished = match finished {
            Some(finished) => finished,
            None => looping.await,
        };
        let (ended, store) = finished.map_err(|error| FatalError::Lost("commit loop", error))?;
        expiry.abort();
        publishing.abort();
        match ended {
            LoopEnd::Fatal(error) => return Err(FatalError::Commit(error)),
            LoopEnd::Torn(panicked) => {
                tracing::error!(?panicked, "the decisions failed; starting anew from the records");
                node.panicked(panicked.input)?;
            }
            LoopEnd::Deposed(error) | LoopEnd::Unknown(error) => tracing::warn!(%error, "deposed"),
            LoopEnd::Stopped => {}
        }
        Ok(leave(node, &leading, reason, store).await)
    }
}

/// Waits until the term ends, and returns why.
async fn until_over<S>(
    mut stop: watch::Receiver<bool>,
    leading: &LeaderContext,
    role_commands: &mut mpsc::Receiver<RoleCommand>,
    looping: &mut Loop<S>,
    finished: &mut Option<Looped<S>>,
) -> EndReason {
    loop {
        let command = tokio::select! {
            () = until_stopped(&mut stop) => return EndReason::Stop,
            () = clock::past(leading.deadline.clone()) => {
                tracing::warn!("leadership is over: the store has not answered in time, or the key is gone");
                return EndReason::Over;
            }
            result = &mut *looping => {
                *finished = Some(result);
                return EndReason::Loop;
            }
            command = role_commands.recv() => command,
        };
        match command {
            Some(RoleCommand::StepDown(done)) => {
                tracing::info!(epoch = %leading.epoch, "told to hand over");
                return EndReason::StepDown(done);
            }
            Some(RoleCommand::CheckStore(seen)) => match leading.election.holds(leading.epoch).await {
                // The owner of the key leads: a later epoch of this generation can exist only if
                // the store forgot it.
                Ok(true) => {
                    tracing::error!(%seen, ours = %leading.epoch,
                        "a worker has seen a later epoch of this generation: the store was restored from the past. \
                         Nothing is done until `muster-master recover` raises the generation");
                    return EndReason::Restored;
                }
                Ok(false) => return EndReason::Over,
                Err(error) => tracing::warn!(%error, "cannot find out whether the store went back in time"),
            },
            // Not reached, because `leading` holds the sender.
            None => return EndReason::Over,
        }
    }
}

/// Gives up the key, then sends the workers to the next leader.
async fn leave<C: Candidate>(
    mut node: MasterProcess<C>,
    leading: &LeaderContext,
    reason: EndReason,
    store: Option<C::Store>,
) -> RoleAfter<C> {
    let term = store.map(|store| Leader {
        epoch: leading.epoch,
        cluster: leading.cluster.clone(),
        deadline: leading.deadline.clone(),
        store,
    });
    match (&reason, term) {
        (EndReason::Restored, Some(term)) => {
            leading.links.close(&Goodbye::NotLeader(None));
            return RoleAfter::Halted(Halted { node, term });
        }
        (_, Some(term)) => node.candidate.resign(term).await,
        (_, None) => {}
    }
    let view = leading.election.view();
    let next = view.members.iter().find(|member| member.epoch != leading.epoch);
    let next = next.map(|member| member.address.clone());
    let goodbye = match (&reason, next) {
        (EndReason::Stop, None) => Goodbye::Shutdown,
        (EndReason::Stop | EndReason::StepDown(_), next) => Goodbye::NotLeader(next),
        (EndReason::Over | EndReason::Loop | EndReason::Restored, _) => Goodbye::SayHello,
    };
    leading.links.close(&goodbye);
    match reason {
        EndReason::Stop => return RoleAfter::Stopped(node),
        // The caller may have gone away.
        EndReason::StepDown(done) => drop(done.send(())),
        EndReason::Over | EndReason::Loop | EndReason::Restored => {}
    }
    RoleAfter::Standby(Standby(node))
}

/// Everything is loaded and shown: from here on calls are answered.
fn begin<C: Candidate>(node: &MasterProcess<C>, leading: &Arc<LeaderContext>) {
    node.slot.set(Some(leading.clone()));
    node.metrics.recovery.observe(clock::boottime().since(leading.won));
    tracing::info!(address = %node.address, "leads, with everything loaded");
}
