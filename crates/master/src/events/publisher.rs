//! Encodes and fans out events on a task of its own, behind the commit loop.

use std::sync::Arc;

use muster_types::{Commit, EventsRecord};
use tokio::sync::mpsc;

use super::broker::EventBroker;

/// Commits that may wait to be fanned out. Encoding is far faster than committing, so this fills
/// only when the machine is starved; then the commit loop waits, which is the back-pressure that is
/// wanted.
const QUEUE: usize = 256;

/// One commit, for those who watch.
#[derive(Debug)]
pub(crate) struct Publication {
    /// The commit.
    pub commit: Commit,
    /// Its events, if there are any.
    pub record: Option<Arc<EventsRecord>>,
    /// Nothing up to here is kept any more.
    pub forgotten: Commit,
}

/// Where the commit loop puts what it has committed.
#[derive(Debug, Clone)]
pub(crate) struct Publisher(mpsc::Sender<Publication>);

impl Publisher {
    /// Hands a commit over.
    pub(crate) async fn publish(&self, publication: Publication) {
        // The task is gone only when the role is ending, and then nobody watches any more.
        let _ = self.0.send(publication).await;
    }
}

/// A publisher and the task that feeds the broker, to be spawned; it ends with the last publisher.
pub(crate) fn publisher(broker: Arc<EventBroker>, generation: u64) -> (Publisher, impl Future<Output = ()> + Send) {
    let (sender, mut receiver) = mpsc::channel::<Publication>(QUEUE);
    let task = async move {
        while let Some(Publication { commit, record, forgotten }) = receiver.recv().await {
            broker.publish(generation, commit, record.as_deref(), forgotten);
        }
    };
    (Publisher(sender), task)
}
