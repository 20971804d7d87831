//! From a job's need of a stage to its completion, and to its end.

use std::collections::BTreeSet;

use super::tasks::TaskState;
use super::{StageNode, StagePhase};
use crate::ids::StageSlot;
use crate::scheduler::Scheduler;
use crate::timers::SchedulerTimer;
use crate::{JobId, SchedulerEffect, StageKind, TaskKillReason};

impl Scheduler {
    /// Sees to it that a stage runs for a job, and before it every ancestor that is not complete.
    pub(crate) fn require_stage(&mut self, job: JobId, stage: StageSlot) {
        let mut visited = BTreeSet::new();
        let mut to_visit = vec![stage];
        while let Some(slot) = to_visit.pop() {
            let Some(node) = self.stages.get(slot).filter(|node| !node.is_complete()) else { continue };
            if !visited.insert(slot) {
                continue;
            }
            // A stage that gathers failures is required again when it has gathered them.
            if node.phase == StagePhase::Resubmitting {
                self.add_need(job, slot);
                continue;
            }
            let is_missing = |parent: &StageSlot| !self.stages.get(*parent).is_some_and(StageNode::is_complete);
            let missing: Vec<StageSlot> = node.terms.parents.iter().copied().filter(is_missing).collect();
            self.add_need(job, slot);
            if missing.is_empty() {
                self.activate_stage(slot);
            } else {
                self.suspend_stage(slot, StagePhase::Waiting);
                to_visit.extend(missing);
            }
        }
    }

    fn add_need(&mut self, job: JobId, slot: StageSlot) {
        if let Some(entry) = self.jobs.get_mut(job)
            && entry.stages.insert(slot)
            && let Some(node) = self.stages.get_mut(slot)
        {
            node.jobs.insert(job);
            self.rekey(slot);
        }
    }

    /// Begins an attempt of a stage whose parents are complete.
    fn activate_stage(&mut self, slot: StageSlot) {
        let Some(node) = self.stages.get_mut(slot) else { return };
        // A stage that gathers failures is activated by its timer.
        if matches!(node.phase, StagePhase::Active | StagePhase::Resubmitting) {
            return;
        }
        // What a barrier stage had done when it was stopped was done without the rest.
        if node.terms.barrier && node.running.is_empty() {
            self.take_back_done(slot);
        }
        let Some(node) = self.stages.get_mut(slot) else { return };
        node.phase = StagePhase::Active;
        let number = node.attempts.number.map_or(0, |number| number + 1);
        node.attempts.number = Some(number);
        node.attempts.barrier_tries = 0;
        let started =
            SchedulerEffect::StageStarted { stage: node.terms.id, attempt: number, tasks: node.pending.count() };
        let is_barrier = node.terms.barrier;
        self.effect(started);
        self.begin_level(slot);
        self.list_stage(slot);
        self.offer_later(slot);
        if is_barrier {
            self.check_barrier(slot);
        }
    }

    /// Launches nothing of a stage for now. What runs goes on, and counts when it succeeds.
    pub(crate) fn suspend_stage(&mut self, slot: StageSlot, phase: StagePhase) {
        self.unlist_stage(slot);
        if let Some(node) = self.stages.get_mut(slot)
            && node.phase != StagePhase::Resubmitting
        {
            node.phase = phase;
        }
    }

    /// Ends the delay after a failure.
    pub(crate) fn end_resubmit_delay(&mut self, slot: StageSlot) {
        let Some(node) = self.stages.get_mut(slot) else { return };
        if node.phase == StagePhase::Resubmitting {
            node.phase = StagePhase::Waiting;
            self.require_again(slot);
        }
    }

    /// Requires a stage anew for the jobs that need it.
    pub(crate) fn require_again(&mut self, slot: StageSlot) {
        let jobs = self.stages.get(slot).map(|node| node.jobs.clone()).unwrap_or_default();
        for job in jobs {
            self.require_stage(job, slot);
        }
    }

    /// All tasks of a stage have succeeded: its children may begin, and jobs that are for it end.
    pub(crate) fn complete_stage(&mut self, slot: StageSlot) {
        self.unlist_stage(slot);
        let Some(node) = self.stages.get_mut(slot) else { return };
        node.phase = StagePhase::Complete;
        let (id, children, jobs) = (node.terms.id, node.children.clone(), node.jobs.clone());
        self.effect(SchedulerEffect::StageCompleted(id));
        self.exclude_after_stage(slot);
        for child in children {
            let waits = self.stages.get(child).is_some_and(|child| {
                child.phase == StagePhase::Waiting && !child.jobs.is_empty() && self.stages.parents_complete(child)
            });
            if waits {
                self.activate_stage(child);
            }
        }
        for job in jobs {
            if self.jobs.get(job).is_some_and(|entry| entry.target == slot) {
                self.succeed_job(job);
            } else {
                self.drop_need(job, slot);
            }
        }
    }

    /// A job does not need a stage any more: one that nobody needs stops.
    pub(crate) fn drop_need(&mut self, job: JobId, slot: StageSlot) {
        if let Some(entry) = self.jobs.get_mut(job) {
            entry.stages.remove(&slot);
        }
        let Some(node) = self.stages.get_mut(slot) else { return };
        node.jobs.remove(&job);
        if node.jobs.is_empty() {
            self.stop_stage(slot);
        } else {
            self.rekey(slot);
        }
    }

    /// Stops what runs of a stage. Its failures are counted anew when it is needed again.
    fn stop_stage(&mut self, slot: StageSlot) {
        self.unlist_stage(slot);
        let Some(node) = self.stages.get_mut(slot) else { return };
        node.phase = if node.is_complete() { StagePhase::Complete } else { StagePhase::Idle };
        node.attempts.failed_in_a_row = 0;
        node.attempts.unschedulable = None;
        if node.terms.kind == StageKind::Results {
            node.is_released = true;
        }
        self.restart_running(slot, TaskKillReason::StageEnded);
        self.release_unneeded(slot);
    }

    /// Stops every attempt of a stage; their tasks wait again.
    pub(crate) fn restart_running(&mut self, slot: StageSlot, reason: TaskKillReason) {
        let running = self.stages.get(slot).map(|node| node.running.clone()).unwrap_or_default();
        for attempt in running {
            let partition = self.attempts.get(attempt).map(|attempt| attempt.partition);
            self.abandon(attempt, reason);
            let waits = |partition: u32| {
                let record = self.stages.get(slot).and_then(|node| node.records.get(partition as usize));
                record.is_some_and(|record| record.state == TaskState::Pending)
            };
            if let Some(partition) = partition.filter(|partition| waits(*partition)) {
                self.requeue(slot, partition);
            }
        }
    }

    /// Forgets a stage that was released and that nothing needs, and then the parents that were
    /// kept for it.
    pub(crate) fn release_unneeded(&mut self, slot: StageSlot) {
        let mut to_release = vec![slot];
        while let Some(slot) = to_release.pop() {
            let Some(node) = self.stages.get(slot) else { continue };
            if !node.is_released || !node.jobs.is_empty() || !node.children.is_empty() {
                continue;
            }
            self.unlist_stage(slot);
            let Some(node) = self.stages.remove(slot) else { continue };
            self.outputs.forget(slot, &node.locations);
            self.effect(SchedulerEffect::StageReleased(node.terms.id));
            to_release.extend(node.terms.parents);
        }
    }

    /// Runs a stage again after the delay in which failures are gathered.
    pub(crate) fn resubmit_later(&mut self, slot: StageSlot) {
        self.unlist_stage(slot);
        if let Some(node) = self.stages.get_mut(slot) {
            node.phase = StagePhase::Resubmitting;
            self.timers.arm(self.now + self.config.resubmit_delay, SchedulerTimer::Resubmit(slot));
        }
    }
}
