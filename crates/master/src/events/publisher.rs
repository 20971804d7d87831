//! Encodes and fans out events on a task of its own, behind the commit loop.

use std::sync::Arc;

use muster_types::{Commit, EventsRecord};
use tokio::sync::mpsc;

use super::broker::EventBroker;

/// Commits that may wait for the broker. Encoding is far faster than committing, so this queue
/// fills only on a starved machine; then the commit loop waits, which is the wanted back-pressure.
const QUEUE: usize = 256;

/// One commit, for the watchers.
#[derive(Debug)]
pub(crate) struct Publication {
    pub commit: Commit,
    /// Its events, if there are any.
    pub record: Option<Arc<EventsRecord>>,
    /// The events up to this commit are no longer kept.
    pub forgotten: Commit,
}

/// Takes committed events from the commit loop.
#[derive(Debug, Clone)]
pub(crate) struct Publisher(mpsc::Sender<Publication>);

impl Publisher {
    pub(crate) async fn publish(&self, publication: Publication) {
        // The task is gone only at the end of the role, when nobody watches any more.
        let _ = self.0.send(publication).await;
    }
}

/// A publisher, and the task that feeds the broker. The caller spawns the task, which ends with the
/// last publisher.
pub(crate) fn publisher(broker: Arc<EventBroker>, generation: u64) -> (Publisher, impl Future<Output = ()> + Send) {
    let (sender, mut receiver) = mpsc::channel::<Publication>(QUEUE);
    let task = async move {
        while let Some(Publication { commit, record, forgotten }) = receiver.recv().await {
            broker.publish(generation, commit, record.as_deref(), forgotten);
        }
    };
    (Publisher(sender), task)
}
