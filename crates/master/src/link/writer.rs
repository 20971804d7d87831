//! Writes a link's messages down, heartbeat answers before work.

use std::sync::Arc;

use muster_proto::{Welcome, v1};
use muster_store::Standing;
use tokio::sync::{mpsc, watch};
use tonic::Status;

use super::down::{Down, Farewell, Stamp};

/// The stream's own queue: one message being encoded, the rest waits where its order can still be chosen.
pub(crate) const STREAM_QUEUE: usize = 1;

/// The writing half of a link.
pub(crate) struct Writer {
    /// The numbers on everything.
    pub stamp: Stamp,
    /// What a welcome says.
    pub welcome: Arc<Welcome>,
    /// The masters that are known.
    pub standing: watch::Receiver<Arc<Standing>>,
    /// Numbers of heartbeats to answer.
    pub answers: mpsc::Receiver<u64>,
    /// Work.
    pub work: mpsc::Receiver<Down>,
    /// The end.
    pub farewell: watch::Receiver<Option<Farewell>>,
    /// Whether the welcome has been written: nothing but a goodbye comes before it.
    pub welcomed: bool,
    /// The stream.
    pub stream: mpsc::Sender<Result<v1::LinkResponse, Status>>,
}

impl Writer {
    /// Writes until the farewell is said or the stream is gone.
    pub(crate) async fn run(mut self) {
        loop {
            let Some(message) = self.next().await else { break };
            let (message, last) = message;
            let sent = tokio::select! {
                sent = self.stream.send(Ok(message)) => sent.is_ok(),
                // The peer reads nothing: it is cut without a word.
                () = until_farewell(&mut self.farewell), if !last => false,
            };
            if last || !sent {
                break;
            }
        }
    }

    /// The next message, and whether it is the last.
    async fn next(&mut self) -> Option<(v1::LinkResponse, bool)> {
        tokio::select! {
            biased;
            () = until_farewell(&mut self.farewell) => {
                let said = self.farewell.borrow().clone();
                said.map(|farewell| (self.stamp.farewell(&farewell), true))
            }
            number = self.answers.recv() => number.map(|number| (self.stamp.answer(number), false)),
            Ok(()) = self.standing.changed(), if self.welcomed => {
                let standing = self.standing.borrow_and_update().clone();
                let addresses = standing.members.iter().map(|member| member.address.clone()).collect();
                Some((self.stamp.masters(addresses), false))
            }
            down = self.work.recv() => down.map(|down| {
                self.welcomed |= matches!(down, Down::Welcome);
                (self.stamp.message(&down, &self.welcome), false)
            }),
            () = self.stream.closed() => None,
        }
    }
}

/// Ready once a farewell was said, or whoever could say one is gone.
pub(crate) async fn until_farewell(farewell: &mut watch::Receiver<Option<Farewell>>) {
    let _ = farewell.wait_for(Option::is_some).await;
}
