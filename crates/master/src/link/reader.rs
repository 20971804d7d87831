//! Reads a link.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use muster_core::LinkId;
use muster_core::liveness::Answer;
use muster_proto::{WireError, v1};
use muster_types::Report;
use tokio::sync::{mpsc, watch};
use tonic::Streaming;
use v1::link_request::Message;

use super::down::{Farewell, say};
use super::forward::Said;
use super::writer::until_farewell;
use crate::clock;
use crate::leading::Leading;

/// The reading half of a link, after its hello.
pub(crate) struct Reader {
    /// Which.
    pub link: LinkId,
    /// The leader that it is linked to.
    pub leading: Arc<Leading>,
    /// The stream.
    pub stream: Streaming<v1::LinkRequest>,
    /// Numbers of heartbeats to answer.
    pub answers: mpsc::Sender<u64>,
    /// What goes to the commit loop.
    pub said: mpsc::Sender<Said>,
    /// Ends the link.
    pub farewell: Arc<watch::Sender<Option<Farewell>>>,
    /// Wall time of the last heartbeat.
    pub heard: Arc<AtomicU64>,
}

impl Reader {
    /// Reads until the stream or the link ends.
    pub(crate) async fn run(mut self) {
        let mut farewell = self.farewell.subscribe();
        loop {
            let message = tokio::select! {
                message = self.stream.message() => message,
                () = until_farewell(&mut farewell) => break,
            };
            let Ok(Some(request)) = message else { break };
            if let Err(end) = self.take(request) {
                say(&self.farewell, end);
                break;
            }
        }
    }

    fn take(&self, request: v1::LinkRequest) -> Result<(), Farewell> {
        match request.message {
            Some(Message::Heartbeat(heartbeat)) => self.answer(heartbeat.number),
            Some(Message::Inventory(inventory)) => {
                let reports = reports_of(inventory.attempts).map_err(|error| nonsense(&error))?;
                self.queue(Said::Inventory(reports, inventory.complete))
            }
            Some(Message::Reports(reports)) => {
                let reports = reports_of(reports.reports).map_err(|error| nonsense(&error))?;
                self.queue(Said::Reports(reports))
            }
            Some(Message::Hello(_)) => Err(Farewell::Refused("PROTOCOL", "a second hello on one stream".to_owned())),
            // Of a newer worker: what we do not know, we need not.
            None => Ok(()),
        }
    }

    /// Enters the heartbeat in the table that expiry reads, then checks the leadership deadline, then answers.
    fn answer(&self, number: u64) -> Result<(), Farewell> {
        let now = clock::boottime();
        let answer = self.leading.liveness().heard(self.link.worker, self.link.session, now);
        match answer {
            Answer::Answer if self.leading.stands() => {
                self.heard.store(clock::wall().0, Ordering::Relaxed);
                // A full queue means that the peer does not read; it then has no need of this answer.
                let _ = self.answers.try_send(number);
                Ok(())
            }
            // A leader past its deadline answers nobody.
            Answer::Answer => Ok(()),
            Answer::SayHello => Err(Farewell::SayHello),
        }
    }

    fn queue(&self, said: Said) -> Result<(), Farewell> {
        self.said.try_send(said).map_err(|_| Farewell::SayHello)
    }
}

fn reports_of(reports: Vec<v1::Report>) -> Result<Vec<Report>, WireError> {
    reports.into_iter().map(Report::try_from).collect()
}

fn nonsense(error: &WireError) -> Farewell {
    Farewell::Refused("PROTOCOL", format!("a report makes no sense: {error}"))
}
