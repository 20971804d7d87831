//! Hands the messages of a worker to the commit loop, in order.

use std::sync::Arc;
use std::time::Duration;

use muster_core::{Input, LinkId};
use muster_types::{Hello, Report};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::registry::Links;
use crate::commit::LinkInputs;

/// Messages of one worker that wait for the commit loop.
pub(crate) const UPLINK_QUEUE: usize = 64;

/// A worker that has not sent its inventory within this time no longer delays the hellos of others.
const INVENTORY_WITHIN: Duration = Duration::from_secs(5);

/// A message of a worker, apart from heartbeats.
#[derive(Debug)]
pub(crate) enum Uplink {
    /// A part of its inventory, and whether it is the last.
    Inventory(Vec<Report>, bool),
    Reports(Vec<Report>),
}

/// Forwards a link's hello, its messages, and its end. The admission is given back once the
/// inventory is complete, or late.
pub(crate) async fn forward(
    link: LinkId,
    hello: Box<Hello>,
    admission: OwnedSemaphorePermit,
    mut uplink: mpsc::Receiver<Uplink>,
    inputs: LinkInputs,
    links: Arc<Links>,
) {
    let mut admission = Some(admission);
    let late = tokio::time::sleep(INVENTORY_WITHIN);
    tokio::pin!(late);
    // After the end of the term nobody takes inputs any more. The link stays registered, so that
    // its goodbye reaches it.
    let mut forwarding = inputs.send(Input::Hello(link, hello)).await.is_ok();
    loop {
        let uplink = tokio::select! {
            uplink = uplink.recv() => uplink,
            () = &mut late, if admission.is_some() => {
                admission = None;
                continue;
            }
        };
        let Some(uplink) = uplink else { break };
        let input = match uplink {
            Uplink::Inventory(reports, complete) => {
                if complete {
                    admission = None;
                }
                Input::Inventory(link, reports, complete)
            }
            Uplink::Reports(reports) => Input::Reports(link, reports),
        };
        forwarding = forwarding && inputs.send(input).await.is_ok();
    }
    drop(admission);
    // The link leaves the registry first, so that nothing more is sent to it. From then on only the
    // core can refuse the same session.
    links.unregister(link);
    let _ = inputs.send(Input::LinkBroken(link)).await;
}
