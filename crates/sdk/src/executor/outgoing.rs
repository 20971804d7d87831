//! What an executor has to say to its driver.

use std::collections::VecDeque;

use muster_proto::v1;
use v1::executor_link_service_link_request::Message;

use crate::outbox::{OutgoingBatch, take_first};

/// What waits to go up. What is first in the list of fields goes first: heartbeats never wait
/// behind results.
#[derive(Debug, Default)]
pub(crate) struct ExecutorOutgoing {
    pub(crate) first: VecDeque<Message>,
    pub(crate) started: Vec<v1::TaskStarted>,
    pub(crate) commit_questions: Vec<u64>,
    pub(crate) broadcasts_wanted: Vec<u64>,
    pub(crate) ended: Vec<v1::TaskEnded>,
    /// Bytes of `ended`.
    pub(crate) ended_bytes: usize,
    /// Pieces of results; they are parts of what is kept.
    pub(crate) result_pieces: VecDeque<v1::DataPiece>,
}

impl ExecutorOutgoing {
    pub(crate) fn end(&mut self, ended: v1::TaskEnded) {
        self.ended_bytes += size_of_end(&ended);
        self.ended.push(ended);
    }
}

fn size_of_end(ended: &v1::TaskEnded) -> usize {
    let counts: usize = ended.counts.keys().map(|name| name.len() + 16).sum();
    ended.result.len() + ended.message.len() + counts + 24
}

impl OutgoingBatch for ExecutorOutgoing {
    type Message = v1::ExecutorLinkServiceLinkRequest;

    fn take_message(&mut self) -> Option<v1::ExecutorLinkServiceLinkRequest> {
        if let Some(first) = self.first.pop_front() {
            return Some(v1::ExecutorLinkServiceLinkRequest { message: Some(first) });
        }
        let ended = take_first(&mut self.ended, size_of_end);
        self.ended_bytes = self.ended_bytes.saturating_sub(ended.iter().map(size_of_end).sum());
        // One at a time, and none beside ends, which may fill a message by themselves.
        let piece = if ended.is_empty() { self.result_pieces.pop_front() } else { None };
        let report = v1::TaskReport {
            started: take_first(&mut self.started, |_| 0),
            ended,
            commit_questions: take_first(&mut self.commit_questions, |_| 0),
            result_pieces: piece.into_iter().collect(),
            broadcasts_wanted: take_first(&mut self.broadcasts_wanted, |_| 0),
        };
        let is_empty = report == v1::TaskReport::default();
        (!is_empty).then(|| v1::ExecutorLinkServiceLinkRequest { message: Some(Message::Report(report)) })
    }
}
