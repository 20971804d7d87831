//! The writing half of a link: answers to heartbeats come before work.

use std::sync::Arc;

use muster_proto::{LeaderWelcome, v1};
use muster_store::LeaderView;
use muster_traces::Traces;
use tokio::sync::{mpsc, watch};
use tonic::Status;

use super::downlink::{Downlink, Goodbye, MessageHeader};
use super::verdict::HelloVerdict;

/// The stream's own queue holds one message, which is being encoded. The others wait where their
/// order can still be chosen.
pub(crate) const STREAM_QUEUE: usize = 1;

/// A message, or the end of the stream. It is boxed because a channel keeps room for 32 of what it
/// carries, however few may wait: 6 KiB for each worker.
pub(crate) type BoxedResponse = Box<Result<v1::LinkResponse, Status>>;

/// The writing half of a link.
pub(crate) struct Writer {
    /// The numbers on every message.
    pub header: MessageHeader,
    pub welcome: Arc<LeaderWelcome>,
    /// The known masters.
    pub view: watch::Receiver<Arc<LeaderView>>,
    /// Numbers of heartbeats to answer.
    pub answers: mpsc::Receiver<u64>,
    pub work: mpsc::Receiver<Downlink>,
    /// The last message, once it is set.
    pub goodbye: watch::Receiver<Option<Goodbye>>,
    /// Whether the welcome has been written: nothing but a goodbye comes before it.
    pub welcomed: bool,
    pub stream: mpsc::Sender<BoxedResponse>,
    /// Where the spans of launches go.
    pub traces: Traces,
    /// What the audit says of the hello.
    pub verdict: HelloVerdict,
}

impl Writer {
    /// Writes until the goodbye is written or the stream is gone.
    pub(crate) async fn run(mut self) {
        loop {
            let Some(message) = self.next().await else { break };
            let (message, last) = message;
            let sent = tokio::select! {
                sent = self.stream.send(Box::new(Ok(message))) => sent.is_ok(),
                // The peer reads nothing, so it is cut without a goodbye.
                () = until_goodbye(&mut self.goodbye), if !last => false,
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
            () = until_goodbye(&mut self.goodbye) => {
                let set = self.goodbye.borrow().clone();
                set.map(|goodbye| {
                    self.verdict.dismissed(&goodbye);
                    (self.header.goodbye(&goodbye), true)
                })
            }
            number = self.answers.recv() => number.map(|number| (self.header.answer(number), false)),
            Ok(()) = self.view.changed(), if self.welcomed => {
                let view = self.view.borrow_and_update().clone();
                let addresses = view.members.iter().map(|member| member.address.clone()).collect();
                Some((self.header.masters(addresses), false))
            }
            down = self.work.recv() => down.map(|down| {
                if matches!(down, Downlink::Welcome) {
                    self.welcomed = true;
                    self.verdict.welcomed();
                }
                (self.header.message(&down, &self.welcome, self.traces), false)
            }),
            () = self.stream.closed() => None,
        }
    }
}

/// Ready once a goodbye is set, or nobody is left to set one.
pub(crate) async fn until_goodbye(goodbye: &mut watch::Receiver<Option<Goodbye>>) {
    let _ = goodbye.wait_for(Option::is_some).await;
}
