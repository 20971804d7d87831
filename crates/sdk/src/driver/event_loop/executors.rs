//! The executors of the loop: they come, are told things, and end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use muster_dag::{ExecutorLoss, SchedulerInput, StageId, TaskAttemptId, TaskEnd, TaskId, TaskLaunch};
use muster_proto::v1;
use muster_types::ExecutorId;
use v1::executor_link_service_link_response::Message as Down;

use super::DriverLoop;
use crate::TaskEvent;
use crate::driver::CallerInput;
use crate::driver::fetch::ResultFetches;
use crate::driver::locations::output_locations;
use crate::driver::outgoing::DriverOutgoing;
use crate::driver::stage_record::StageCode;
use crate::outbox::{LinkOutbox, MESSAGE_BYTES};

/// An executor that is linked.
pub(super) struct DriverLink {
    pub(super) link: u64,
    pub(super) cores: u32,
    pub(super) output_address: Arc<str>,
    pub(super) outbox: LinkOutbox<DriverOutgoing>,
    /// What goes out at the end of the batch.
    pub(super) work: v1::TaskWork,
    pub(super) stages: BTreeSet<StageId>,
    /// The output epoch in which it was told last where the outputs of a stage are.
    pub(super) output_epochs: BTreeMap<StageId, u64>,
    pub(super) fetches: ResultFetches,
}

/// An executor that registers at this moment.
pub(super) struct RegisteringLink {
    pub(super) link: u64,
    pub(super) cores: u32,
    pub(super) output_address: Arc<str>,
    pub(super) outbox: LinkOutbox<DriverOutgoing>,
}

impl DriverLoop {
    pub(super) fn lose(&mut self, executor: ExecutorId, loss: ExecutorLoss) {
        // Where one works, another that cannot start is its worker's fault.
        if let Some(code) = self.failed_starts.ended(executor, &loss)
            && self.links.is_empty()
            && self.ended.is_none()
            && let Some(cluster) = &self.cluster
        {
            let reason = format!("executors end before they are ready: executor {executor} with exit code {code}");
            self.end_with_words(reason, cluster.last_words(executor.0));
        }
        self.give(SchedulerInput::ExecutorLost(executor, loss));
    }

    /// Ends all jobs once it is known what the executor has said, unless another one is linked by
    /// then.
    pub(super) fn end_with_words(&mut self, reason: String, words: impl Future<Output = String> + Send + 'static) {
        let Some(own) = self.own_inputs.upgrade() else { return };
        tokio::spawn(async move {
            let words = words.await;
            let reason = match words.trim_end() {
                "" => reason,
                words => format!("{reason}\nthe executor's last words:\n{words}"),
            };
            // An error means that the driver has ended.
            let _ = own.send(CallerInput::StartsFailed(reason.into()));
        });
    }

    /// Those of which the master knows nothing any more have ended, and how is not known.
    pub(super) fn lose_all_but(&mut self, alive: &[v1::Executor]) {
        let alive: BTreeSet<ExecutorId> = alive.iter().map(|executor| ExecutorId(executor.executor_id)).collect();
        self.failed_starts.keep(&alive);
        let gone: Vec<ExecutorId> = self.links.keys().filter(|id| !alive.contains(id)).copied().collect();
        for executor in gone {
            self.give(SchedulerInput::ExecutorLost(executor, ExecutorLoss::ProcessLost));
        }
    }

    pub(super) fn accept(&mut self, executor: ExecutorId) {
        let Some(RegisteringLink { link, cores, output_address, outbox }) = self.registering.take() else { return };
        self.failed_starts.linked(executor);
        let terms = self.terms;
        outbox.add(|outgoing| outgoing.first.push_back(Down::Registered(terms)));
        let (stages, output_epochs, fetches) = Default::default();
        let work = v1::TaskWork { stop: self.is_stopping, ..Default::default() };
        let linked = DriverLink { link, cores, output_address, outbox, work, stages, output_epochs, fetches };
        self.links.insert(executor, linked);
    }

    pub(super) fn remove(&mut self, executor: ExecutorId, loss: ExecutorLoss) {
        if let Some(link) = self.links.remove(&executor) {
            link.outbox.close();
        }
        self.event(TaskEvent::ExecutorRemoved { executor: executor.0, cause: loss.to_string() });
    }

    /// Ends executors of workers that drain, once they have nothing to do and keep nothing: else
    /// they stay until their worker ends them.
    pub(super) fn stop_drained(&mut self) {
        let (scheduler, links) = (&self.scheduler, &mut self.links);
        self.draining.retain(|executor| {
            let Some(link) = links.get_mut(executor) else { return false };
            let is_over = scheduler.is_expendable(*executor);
            link.work.stop |= is_over;
            !is_over
        });
    }

    pub(super) fn launch(&mut self, launch: TaskLaunch) {
        let TaskId { stage, partition } = launch.task;
        let Some(parents) = self.stages.get(&stage).map(|record| record.parents.clone()) else { return };
        self.tell_locations(launch.executor, &parents, launch.output_epoch);
        let (Some(record), Some(link)) = (self.stages.get(&stage), self.links.get_mut(&launch.executor)) else {
            return;
        };
        if link.stages.insert(stage) {
            let (function, plan) = match &record.code {
                StageCode::Function(name) => (name.to_string(), Bytes::new()),
                StageCode::Plan(plan) => (String::new(), plan.clone()),
            };
            link.work.stages.push(v1::TaskStage { stage: stage.0, function, plan });
        }
        link.work.launches.push(v1::TaskLaunch {
            task_attempt: launch.attempt.0,
            stage: stage.0,
            partition,
            launches_before: u32::from(launch.number),
            argument: record.arguments.get(partition),
        });
    }

    /// Tells an executor where the outputs of stages are, once in each output epoch: they are
    /// elsewhere only in a later one.
    pub(super) fn tell_locations(&mut self, executor: ExecutorId, parents: &[StageId], output_epoch: u64) {
        for parent in parents {
            let Some(link) = self.links.get(&executor) else { return };
            if link.output_epochs.get(parent) == Some(&output_epoch) {
                continue;
            }
            let address = |executor| self.links.get(&executor).map(|link| &*link.output_address);
            let locations = output_locations(&self.scheduler, *parent, address);
            let Some(link) = self.links.get_mut(&executor) else { return };
            link.output_epochs.insert(*parent, output_epoch);
            link.work.output_locations.push(locations);
        }
    }

    pub(super) fn kill(&mut self, executor: ExecutorId, attempt: TaskAttemptId) {
        let Some(link) = self.links.get_mut(&executor) else { return };
        if link.fetches.remove(attempt) {
            // It has ended already, and only its result was still to come.
            link.work.result_drops.push(attempt.0);
            self.caused.push_back(SchedulerInput::AttemptEnded(executor, attempt, TaskEnd::Killed));
        } else {
            link.work.kills.push(attempt.0);
        }
    }

    /// Has a result fetched, if it still counts.
    pub(super) fn fetch(&mut self, executor: ExecutorId, ended: v1::TaskEnded) {
        let attempt = TaskAttemptId(ended.task_attempt);
        let counts = self.scheduler.task_of(attempt).is_some();
        let Some(link) = self.links.get_mut(&executor) else { return };
        if counts {
            link.fetches.add(ended);
            self.fetch_next(executor);
        } else {
            link.work.result_drops.push(attempt.0);
            self.give(SchedulerInput::AttemptEnded(executor, attempt, TaskEnd::Killed));
        }
    }

    pub(super) fn fetch_next(&mut self, executor: ExecutorId) {
        let Some(link) = self.links.get_mut(&executor) else { return };
        if let Some(attempt) = link.fetches.next() {
            link.work.result_fetches.push(attempt.0);
        }
    }

    pub(super) fn send_broadcast(&mut self, executor: ExecutorId, number: u64) {
        let Some(link) = self.links.get(&executor) else { return };
        let value = self.broadcasts.get(&number).cloned();
        link.outbox.add(|outgoing| {
            let missing = value.is_none();
            let mut rest = value.unwrap_or_default();
            loop {
                let data = rest.split_to(rest.len().min(MESSAGE_BYTES));
                let last = rest.is_empty();
                outgoing.broadcast_pieces.push_back(v1::DataPiece { number, data, last, missing });
                if last {
                    return;
                }
            }
        });
    }
}

pub(super) fn refuse(outbox: &LinkOutbox<DriverOutgoing>, message: String) {
    outbox.add(|outgoing| outgoing.first.push_back(Down::Refused(v1::ExecutorRefused { message })));
    outbox.close();
}
