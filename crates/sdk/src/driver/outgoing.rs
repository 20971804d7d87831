//! What a driver has to say to one executor.

use std::collections::VecDeque;

use muster_proto::v1;
use v1::executor_link_service_link_response::Message;

use crate::outbox::{OutgoingBatch, take_first};

/// What waits to go down to an executor.
#[derive(Debug, Default)]
pub(crate) struct DriverOutgoing {
    pub(crate) first: VecDeque<Message>,
    pub(crate) work: v1::TaskWork,
    /// Pieces of values; they are parts of what the driver keeps.
    pub(crate) broadcast_pieces: VecDeque<v1::DataPiece>,
}

impl DriverOutgoing {
    /// Adds work behind what waits.
    pub(crate) fn append(&mut self, work: &mut v1::TaskWork) {
        let waiting = &mut self.work;
        waiting.stages.append(&mut work.stages);
        waiting.output_locations.append(&mut work.output_locations);
        waiting.launches.append(&mut work.launches);
        waiting.kills.append(&mut work.kills);
        waiting.commit_answers.append(&mut work.commit_answers);
        waiting.result_fetches.append(&mut work.result_fetches);
        waiting.result_drops.append(&mut work.result_drops);
        waiting.stage_drops.append(&mut work.stage_drops);
        waiting.broadcast_drops.append(&mut work.broadcast_drops);
        waiting.stop |= std::mem::take(&mut work.stop);
    }
}

fn size_of_locations(locations: &v1::OutputLocations) -> usize {
    locations.keepers.iter().map(|keeper| keeper.address.len() + 3 * keeper.partitions.len() + 16).sum()
}

impl OutgoingBatch for DriverOutgoing {
    type Message = v1::ExecutorLinkServiceLinkResponse;

    fn take_message(&mut self) -> Option<v1::ExecutorLinkServiceLinkResponse> {
        if let Some(first) = self.first.pop_front() {
            return Some(v1::ExecutorLinkServiceLinkResponse { message: Some(first) });
        }
        let work = &mut self.work;
        let mut next = v1::TaskWork {
            stages: take_first(&mut work.stages, |stage| stage.function.len() + stage.plan.len() + 16),
            output_locations: take_first(&mut work.output_locations, size_of_locations),
            ..Default::default()
        };
        // A value that is forgotten is there for no task that comes later. A stage comes before its
        // tasks, as does what they read, and its end after all that may name it.
        next.broadcast_drops = take_first(&mut work.broadcast_drops, |_| 0);
        if work.stages.is_empty() && work.output_locations.is_empty() {
            next.launches = take_first(&mut work.launches, |launch| launch.argument.len() + 24);
        }
        next.commit_answers = take_first(&mut work.commit_answers, |_| 0);
        next.result_fetches = take_first(&mut work.result_fetches, |_| 0);
        if work.launches.is_empty() {
            next.kills = take_first(&mut work.kills, |_| 0);
            next.result_drops = take_first(&mut work.result_drops, |_| 0);
            next.stage_drops = take_first(&mut work.stage_drops, |_| 0);
            next.stop = std::mem::take(&mut work.stop);
            if next.launches.is_empty() {
                next.broadcast_pieces.extend(self.broadcast_pieces.pop_front());
            }
        }
        let is_empty = next == v1::TaskWork::default();
        (!is_empty).then(|| v1::ExecutorLinkServiceLinkResponse { message: Some(Message::Work(next)) })
    }
}
