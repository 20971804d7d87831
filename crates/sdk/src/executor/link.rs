//! The executor's side of the link: what it says first, and what it does with what comes.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use muster_proto::v1;
use tokio::time::{MissedTickBehavior, interval};
use tokio_stream::{Stream, StreamExt as _};
use tonic::Status;
use v1::executor_link_service_link_request::Message as Up;
use v1::executor_link_service_link_response::Message as Down;

use super::state::SharedByThreads;
use super::threads;

/// Between two looks at what runs, while anything does.
const LOOK: Duration = Duration::from_millis(5);
/// Between two heartbeats, unless the driver says otherwise.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Why a link has ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkEnd {
    /// The driver wants nothing more.
    #[error("the driver has ended it")]
    Stopped,
    /// The driver does not take this executor.
    #[error("the driver refuses this executor: {0}")]
    Refused(String),
    /// The stream has ended without a word.
    #[error("the driver is gone")]
    Closed,
    /// The stream has broken.
    #[error("the stream to the driver broke")]
    Broken(#[source] Box<Status>),
    /// A thread cannot be started.
    #[error("no thread can be started")]
    Threads(#[source] std::io::Error),
}

/// Runs what comes until the link ends, and nothing after that. The registration is on its way.
pub(crate) async fn follow(
    state: &Arc<SharedByThreads>,
    cores: u32,
    incoming: impl Stream<Item = Result<v1::ExecutorLinkServiceLinkResponse, Status>>,
) -> LinkEnd {
    let end = run_what_comes(state, cores, incoming).await;
    state.close();
    end
}

async fn run_what_comes(
    state: &Arc<SharedByThreads>,
    cores: u32,
    incoming: impl Stream<Item = Result<v1::ExecutorLinkServiceLinkResponse, Status>>,
) -> LinkEnd {
    let mut incoming = pin!(incoming);
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heartbeat = interval(HEARTBEAT);
    let (mut beats, mut is_busy) = (0, false);
    loop {
        tokio::select! {
            biased;
            next = incoming.next() => match next.map(|next| next.map(|response| response.message)) {
                None => return LinkEnd::Closed,
                Some(Err(status)) => return LinkEnd::Broken(Box::new(status)),
                Some(Ok(None)) => {}
                Some(Ok(Some(Down::Refused(refused)))) => return LinkEnd::Refused(refused.message),
                Some(Ok(Some(Down::Registered(terms)))) => {
                    state.is_registered(&terms);
                    heartbeat = interval(Duration::from_millis(u64::from(terms.heartbeat_millis).max(10)));
                    if let Err(error) = threads::start(state, cores) {
                        return LinkEnd::Threads(error);
                    }
                    state.outbox.add(|outgoing| outgoing.first.push_back(Up::Ready(v1::ExecutorReady {})));
                }
                Some(Ok(Some(Down::Work(work)))) if work.stop => return LinkEnd::Stopped,
                Some(Ok(Some(Down::Work(work)))) => {
                    if !is_busy && !work.launches.is_empty() {
                        is_busy = true;
                        look.reset();
                    }
                    state.take_work(work);
                }
            },
            _ = look.tick(), if is_busy => is_busy = state.look(),
            _ = heartbeat.tick() => {
                beats += 1;
                let beat = v1::ExecutorHeartbeat { number: beats, memory_bytes: 0 };
                state.outbox.add(|outgoing| {
                    // One that was not sent yet says as much as another one.
                    if beats > 1 && outgoing.first.is_empty() {
                        outgoing.first.push_back(Up::Heartbeat(beat));
                    }
                });
            }
        }
    }
}
