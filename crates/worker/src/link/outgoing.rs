//! The messages that go up one stream: heartbeats overtake everything else that waits.

use std::pin::Pin;
use std::task::{Context, Poll};

use muster_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::Stream;

/// Heartbeats that may wait. More than two unanswered end the stream anyway.
const HEARTBEATS: usize = 4;
/// Other messages that may wait: enough for an inventory of 60,000 attempts.
const MESSAGES: usize = 256;

/// The sending end of a stream.
#[derive(Debug)]
pub struct UplinkSender {
    heartbeats: mpsc::Sender<u64>,
    messages: mpsc::Sender<v1::link_request::Message>,
}

/// The stream has no room: its peer is stuck, or it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UplinkStuck;

impl UplinkSender {
    pub(super) fn heartbeat(&self, number: u64) -> Result<(), UplinkStuck> {
        self.heartbeats.try_send(number).map_err(|_| UplinkStuck)
    }

    pub(super) fn message(&self, message: v1::link_request::Message) -> Result<(), UplinkStuck> {
        self.messages.try_send(message).map_err(|_| UplinkStuck)
    }
}

/// The reading end, which the transport drains.
#[derive(Debug)]
pub(super) struct Outgoing {
    heartbeats: mpsc::Receiver<u64>,
    messages: mpsc::Receiver<v1::link_request::Message>,
}

/// The two ends of a new stream.
pub(super) fn channel() -> (UplinkSender, Outgoing) {
    let (heartbeats, heartbeats_out) = mpsc::channel(HEARTBEATS);
    let (messages, messages_out) = mpsc::channel(MESSAGES);
    (UplinkSender { heartbeats, messages }, Outgoing { heartbeats: heartbeats_out, messages: messages_out })
}

impl Stream for Outgoing {
    type Item = v1::LinkRequest;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<v1::LinkRequest>> {
        let wrap = |message| Poll::Ready(Some(v1::LinkRequest { message: Some(message) }));
        if let Poll::Ready(Some(number)) = self.heartbeats.poll_recv(cx) {
            return wrap(v1::link_request::Message::Heartbeat(v1::Heartbeat { number }));
        }
        match self.messages.poll_recv(cx) {
            Poll::Ready(Some(message)) => wrap(message),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt;

    use super::*;

    #[tokio::test]
    async fn a_heartbeat_overtakes_what_waits() {
        let (up, mut outgoing) = channel();
        let reports = v1::link_request::Message::Reports(v1::Reports::default());
        up.message(reports.clone()).expect("room");
        up.heartbeat(1).expect("room");
        let first = outgoing.next().await.and_then(|request| request.message);
        assert_eq!(first, Some(v1::link_request::Message::Heartbeat(v1::Heartbeat { number: 1 })));
        let second = outgoing.next().await.and_then(|request| request.message);
        assert_eq!(second, Some(reports));
        drop(up);
        assert_eq!(outgoing.next().await, None);
    }

    #[tokio::test]
    async fn a_stuck_peer_is_noticed_and_bounded() {
        let (up, _outgoing) = channel();
        let sent = (0..10_000).take_while(|number| up.heartbeat(*number).is_ok()).count();
        assert_eq!(sent, HEARTBEATS);
    }
}
