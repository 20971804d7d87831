//! The reading half of a link.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use muster_core::LinkId;
use muster_core::liveness::Heartbeat;
use muster_proto::errors::{reason, reason_of};
use muster_proto::server::status_of_read;
use muster_proto::{WireError, v1};
use muster_types::Report;
use tokio::sync::{mpsc, watch};
use tonic::{Status, Streaming};
use v1::link_request::Message;

use super::downlink::{Goodbye, say};
use super::uplink::Uplink;
use super::writer::until_goodbye;
use crate::clock;
use crate::leader::LeaderContext;
use crate::serve::MAX_LINK_MESSAGE;

/// The reading half of a link, after its hello.
pub(crate) struct Reader {
    pub link: LinkId,
    pub leading: Arc<LeaderContext>,
    pub stream: Streaming<v1::LinkRequest>,
    /// Numbers of heartbeats to answer.
    pub answers: mpsc::Sender<u64>,
    /// Messages for the commit loop.
    pub uplink: mpsc::Sender<Uplink>,
    /// Ends the link.
    pub goodbye: Arc<watch::Sender<Option<Goodbye>>>,
    /// Wall time of the last heartbeat.
    pub heard: Arc<AtomicU64>,
}

impl Reader {
    /// Reads until the stream or the link ends.
    pub(crate) async fn run(mut self) {
        let mut goodbye = self.goodbye.subscribe();
        loop {
            let message = tokio::select! {
                message = self.stream.message() => message,
                () = until_goodbye(&mut goodbye) => break,
            };
            let taken = match message {
                Ok(Some(request)) => self.take(request),
                Ok(None) => break,
                Err(status) => Err(unread(status)),
            };
            if let Err(end) = taken {
                say(&self.goodbye, end);
                break;
            }
        }
    }

    fn take(&self, request: v1::LinkRequest) -> Result<(), Goodbye> {
        match request.message {
            Some(Message::Heartbeat(heartbeat)) => self.answer(heartbeat.number),
            Some(Message::Inventory(inventory)) => {
                let reports = reports_of(inventory.attempts).map_err(|error| nonsense(&error))?;
                self.queue(Uplink::Inventory(reports, inventory.complete))
            }
            Some(Message::Reports(reports)) => {
                let reports = reports_of(reports.reports).map_err(|error| nonsense(&error))?;
                self.queue(Uplink::Reports(reports))
            }
            Some(Message::Hello(_)) => Err(Goodbye::Refused("PROTOCOL", "a second hello on one stream".to_owned())),
            // A message of a newer worker, unknown to this master, is ignored.
            None => Ok(()),
        }
    }

    /// Enters the heartbeat in the table that expiry reads, then checks the leadership deadline,
    /// then answers.
    fn answer(&self, number: u64) -> Result<(), Goodbye> {
        let now = clock::boottime();
        let answer = self.leading.liveness().heard(self.link.worker, self.link.session, now);
        match answer {
            Heartbeat::Ack if self.leading.stands() => {
                let wall = clock::wall().0;
                let before = self.heard.swap(wall, Ordering::Relaxed);
                self.leading.metrics.heard(wall.saturating_sub(before));
                // The queue is full only if the peer does not read; it then has no need of this
                // answer.
                let _ = self.answers.try_send(number);
                Ok(())
            }
            // A leader past its deadline answers nobody.
            Heartbeat::Ack => Ok(()),
            Heartbeat::Reconnect => Err(Goodbye::SayHello),
        }
    }

    fn queue(&self, uplink: Uplink) -> Result<(), Goodbye> {
        self.uplink.try_send(uplink).map_err(|_| Goodbye::SayHello)
    }
}

fn reports_of(reports: Vec<v1::Report>) -> Result<Vec<Report>, WireError> {
    reports.into_iter().map(Report::try_from).collect()
}

/// The goodbye for a stream that cannot be read. If the connection broke, nobody receives it.
fn unread(status: Status) -> Goodbye {
    let status = status_of_read(status, MAX_LINK_MESSAGE);
    match reason_of(&status).as_deref() {
        Some(reason::TOO_LARGE) => Goodbye::Refused(reason::TOO_LARGE, status.message().to_owned()),
        _ => Goodbye::SayHello,
    }
}

fn nonsense(error: &WireError) -> Goodbye {
    Goodbye::Refused("PROTOCOL", format!("a report makes no sense: {error}"))
}
