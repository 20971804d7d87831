//! Leads.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use muster_store::{Candidate, Leader};
use tokio::sync::{oneshot, watch};

use super::fault::Fault;
use super::standby::{Node, Standby};
use crate::commit::{CommitLoop, Ended};
use crate::leading::Leading;
use crate::link::{Farewell, expire_silent};
use crate::stop::told;

/// A leader with everything loaded.
pub(crate) struct Active<C: Candidate> {
    pub(super) node: Node<C>,
    pub(super) leading: Arc<Leading>,
    pub(super) commit_loop: CommitLoop<C::Store>,
    pub(super) publishing: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// What a leader becomes.
pub(crate) enum Next<C> {
    /// One that waits to lead again.
    Standby(Standby<C>),
    /// It was told to stop.
    Stopped,
}

impl<C: Candidate> Active<C>
where
    C::Store: 'static,
{
    /// Leads until told to stop, deposed, or the store or the core fails.
    pub(crate) async fn run(self) -> Result<Next<C>, Fault> {
        let Active { mut node, leading, commit_loop, publishing } = self;
        let (stop_loop, stopped) = watch::channel(false);
        let (warm, warmed) = oneshot::channel();
        let publishing = tokio::spawn(publishing);
        let mut looping = tokio::spawn(commit_loop.run(stopped, warm));
        let expiry = tokio::spawn(expire_silent(leading.clone(), node.settings.timing.wait()));

        let began = match warmed.await {
            Ok(()) => begin(&mut node, &leading).await,
            // The loop ended before it was ready; it says why below.
            Err(_) => Ok(()),
        };
        let mut deadline = leading.deadline.clone();
        let mut stop = node.stop.clone();
        let mut told_to_stop = began.is_err();
        let mut finished = None;
        if !told_to_stop {
            tokio::select! {
                () = told(&mut stop) => told_to_stop = true,
                () = deadline.ended() => tracing::warn!("leadership ended early"),
                result = &mut looping => finished = Some(result),
            }
        }
        node.seat.set(None);
        node.health.leads(false).await;
        let farewell = if told_to_stop { Farewell::Shutdown } else { Farewell::SayHello };
        leading.links.close(&farewell);
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
            Ended::Deposed(error) => tracing::warn!(%error, "deposed"),
            Ended::Stopped => {}
        }
        if let (true, Some(store)) = (told_to_stop, store) {
            let (epoch, cluster, deadline) = (leading.epoch, leading.cluster.clone(), leading.deadline.clone());
            node.candidate.resign(Leader { epoch, cluster, deadline, store }).await;
        }
        Ok(if told_to_stop { Next::Stopped } else { Next::Standby(Standby(node)) })
    }
}

/// Everything is loaded and shown: from here on calls are answered.
async fn begin<C>(node: &mut Node<C>, leading: &Arc<Leading>) -> Result<(), Fault> {
    node.seat.set(Some(leading.clone()));
    node.health.leads(true).await;
    if let Some(path) = &node.settings.address_file {
        write_address(path, &node.address).map_err(|error| Fault::AddressFile(path.clone(), error))?;
    }
    tracing::info!(address = %node.address, "ready");
    Ok(())
}

/// Whole or not at all: whoever waits for the file reads it as soon as it is there.
fn write_address(path: &Path, address: &str) -> std::io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    std::fs::write(&partial, format!("{address}\n"))?;
    std::fs::rename(&partial, path)
}
