//! Outputs that are lost, and what was made of them.

use std::collections::BTreeSet;

use super::{StageNode, StagePhase};
use crate::ids::{LocationIndex, StageSlot};
use crate::scheduler::Scheduler;
use crate::stage::tasks::TaskState;
use crate::{FailureCause, OutputLocation, SchedulerEffect, StageKind, TaskId, TaskKillReason};

impl Scheduler {
    /// Loses everything that a keeper has. What is still being made there is refused when it
    /// comes: only launches of the new output epoch are believed.
    pub(crate) fn lose_outputs_at(&mut self, location: OutputLocation) {
        let index = self.outputs.index(location);
        let lost = self.outputs.lose(index, self.output_epoch);
        self.output_epoch += 1;
        for (stage, partitions) in lost {
            let mut any = false;
            for partition in partitions {
                any |= self.take_back(stage, partition, index);
            }
            if any {
                self.lost_some_of(stage);
            }
        }
    }

    /// Loses one output, if it is where it was sought.
    pub(crate) fn lose_output(&mut self, output: TaskId, location: LocationIndex) {
        let Some(stage) = self.stages.find(output.stage) else { return };
        if self.take_back(stage, output.partition, location) {
            self.output_epoch += 1;
            self.lost_some_of(stage);
        }
    }

    /// An output was moved. One that was lost meanwhile is made anew, and so is one that was moved
    /// to an executor that is gone.
    pub(crate) fn move_output(&mut self, output: TaskId, location: OutputLocation) {
        let Some(stage) = self.stages.find(output.stage) else { return };
        let index = self.outputs.index(location);
        let record = self.stages.get_mut(stage).and_then(|node| node.records.get_mut(output.partition as usize));
        let Some(record) = record else { return };
        let TaskState::Done(Some(before)) = record.state else { return };
        if self.outputs.is_lost(index, self.output_epoch) {
            return self.lose_output(output, before);
        }
        record.state = TaskState::Done(Some(index));
        self.add_output(index, stage, output.partition);
    }

    /// Records where an output is.
    pub(crate) fn add_output(&mut self, location: LocationIndex, stage: StageSlot, partition: u32) {
        if self.outputs.add(location, stage, partition)
            && let Some(node) = self.stages.get_mut(stage)
        {
            node.locations.insert(location);
        }
    }

    /// Has the task of an output wait again, if the output is there. Returns whether it was.
    fn take_back(&mut self, stage: StageSlot, partition: u32, location: LocationIndex) -> bool {
        let Some(node) = self.stages.get_mut(stage) else { return false };
        let Some(record) = node.records.get_mut(partition as usize) else { return false };
        if record.state != TaskState::Done(Some(location)) {
            return false;
        }
        record.state = TaskState::Pending;
        node.done -= 1;
        self.requeue(stage, partition);
        true
    }

    /// Has every task of a stage that is done wait again.
    pub(crate) fn take_back_done(&mut self, stage: StageSlot) {
        let Some(node) = self.stages.get_mut(stage) else { return };
        let done: Vec<u32> =
            (0..node.tasks()).filter(|partition| node.records[*partition as usize].is_done()).collect();
        for partition in &done {
            node.records[*partition as usize].state = TaskState::Pending;
        }
        node.done = 0;
        if node.terms.kind == StageKind::Results && !done.is_empty() {
            let (id, job) = (node.terms.id, node.jobs.first().copied());
            if let Some(entry) = job.and_then(|job| self.jobs.get_mut(job)) {
                entry.result_bytes = 0;
            }
            self.effect(SchedulerEffect::ResultsTakenBack(id));
        }
        done.into_iter().for_each(|partition| self.requeue(stage, partition));
    }

    /// A stage has lost outputs: it is incomplete, and its children wait for it again. Where the
    /// outputs cannot be made again as they were, all that was made of any of them is taken back.
    fn lost_some_of(&mut self, stage: StageSlot) {
        let Some(node) = self.stages.get_mut(stage) else { return };
        if node.phase == StagePhase::Complete {
            node.phase = StagePhase::Idle;
        }
        let (deterministic, barrier) = (node.terms.deterministic, node.terms.barrier);
        if barrier || !deterministic {
            self.unsettled.roll_back.push(stage);
        }
        self.children_wait(stage);
    }

    /// Has the children of an incomplete stage wait for it.
    fn children_wait(&mut self, stage: StageSlot) {
        let children = self.stages.get(stage).map(|node| node.children.clone()).unwrap_or_default();
        for child in children {
            let Some(node) = self.stages.get(child) else { continue };
            if !node.jobs.is_empty() && !node.is_complete() {
                self.suspend_stage(child, StagePhase::Waiting);
                self.unsettled.required.insert(child);
            }
        }
    }

    /// Takes back everything of a stage that lost an output which cannot be made again as it was,
    /// and all that was made of it. A barrier stage runs as a whole, so it is taken back alone.
    pub(crate) fn roll_back(&mut self, stage: StageSlot) {
        let Some(node) = self.stages.get(stage) else { return };
        if node.terms.barrier {
            self.take_back_all(stage);
        }
        let Some(node) = self.stages.get(stage).filter(|node| !node.terms.deterministic) else { return };
        let id = node.terms.id;
        let read = self.descendants_with_work(stage);
        if read.is_empty() {
            return;
        }
        for slot in &read {
            if self.stages.get(*slot).is_some_and(has_given_results) {
                let failure = self.stages.get(*slot).and_then(|node| node.attempts.last_failure.clone());
                self.abort_stage_for(*slot, failure.map(|failure| *failure), &FailureCause::CannotRollBack(id));
            }
        }
        self.take_back_all(stage);
        for slot in read {
            self.take_back_all(slot);
        }
    }

    /// Stops everything of a stage, and has all its tasks wait again.
    fn take_back_all(&mut self, stage: StageSlot) {
        self.restart_running(stage, TaskKillReason::StageRestarted);
        self.take_back_done(stage);
        if let Some(node) = self.stages.get_mut(stage)
            && node.phase == StagePhase::Complete
        {
            node.phase = StagePhase::Idle;
        }
        self.children_wait(stage);
    }

    /// The stages below one that have made something, or are making it.
    fn descendants_with_work(&self, stage: StageSlot) -> BTreeSet<StageSlot> {
        let mut found = BTreeSet::new();
        let mut to_visit = vec![stage];
        while let Some(slot) = to_visit.pop() {
            let children = self.stages.get(slot).into_iter().flat_map(|node| &node.children);
            to_visit.extend(children.filter(|child| found.insert(**child)));
        }
        found.retain(|slot| self.stages.get(*slot).is_some_and(|node| node.done > 0 || !node.running.is_empty()));
        found
    }
}

/// Whether results of a stage may have left the cluster.
fn has_given_results(node: &StageNode) -> bool {
    node.terms.kind == StageKind::Results && (node.done > 0 || !node.committers.is_empty())
}
