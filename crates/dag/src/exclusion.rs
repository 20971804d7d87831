//! Keeping tasks away from executors and workers on which they fail.

use std::collections::{BTreeMap, BTreeSet};

use muster_types::{ExecutorId, Time};

use crate::attempt::TaskAttempt;
use crate::executor::ExecutorNode;
use crate::ids::{ExecutorSlot, StageSlot, WorkerIndex};
use crate::scheduler::Scheduler;
use crate::stage::StagePhase;
use crate::timers::SchedulerTimer;
use crate::{ExclusionRule, FailureCause, ReplaceReason, SchedulerEffect};

/// Where tasks of a stage have failed. It has as many entries as there were failures.
#[derive(Debug, Default)]
pub(crate) struct StageExclusion {
    on_executor: BTreeMap<(u32, ExecutorId), u32>,
    on_worker: BTreeMap<(u32, WorkerIndex), u32>,
    /// Tasks that failed, by executor.
    tasks: BTreeMap<ExecutorId, u32>,
    executors: BTreeSet<ExecutorId>,
    /// Excluded executors, by worker.
    executors_of: BTreeMap<WorkerIndex, u32>,
    workers: BTreeSet<WorkerIndex>,
    /// Whether a timer looks for tasks that can run nowhere.
    is_timed: bool,
}

/// How often a stage is looked at within the time that a task may wait which can run nowhere.
const LOOKS: u32 = 8;

impl StageExclusion {
    fn record(&mut self, rule: &ExclusionRule, partition: u32, executor: ExecutorId, worker: WorkerIndex) {
        *self.on_worker.entry((partition, worker)).or_default() += 1;
        let failures = self.on_executor.entry((partition, executor)).or_default();
        *failures += 1;
        if *failures > 1 {
            return;
        }
        let tasks = self.tasks.entry(executor).or_default();
        *tasks += 1;
        if *tasks >= rule.stage_tasks_per_executor && self.executors.insert(executor) {
            let executors = self.executors_of.entry(worker).or_default();
            *executors += 1;
            if *executors >= rule.stage_executors_per_worker {
                self.workers.insert(worker);
            }
        }
    }
}

/// Which tasks of a stage may run on an executor.
pub(crate) struct TaskFilter<'a> {
    exclusion: Option<(&'a StageExclusion, &'a ExclusionRule)>,
    executor: ExecutorId,
    worker: WorkerIndex,
}

impl<'a> TaskFilter<'a> {
    pub(crate) fn new(
        exclusion: Option<&'a StageExclusion>,
        rule: Option<&'a ExclusionRule>,
        on: &ExecutorNode,
    ) -> TaskFilter<'a> {
        TaskFilter { exclusion: exclusion.zip(rule), executor: on.id, worker: on.worker }
    }

    /// Whether the stage avoids the executor or its worker.
    pub(crate) fn refuses_all(&self) -> bool {
        self.exclusion.is_some_and(|(exclusion, _)| {
            exclusion.executors.contains(&self.executor) || exclusion.workers.contains(&self.worker)
        })
    }

    pub(crate) fn allows(&self, partition: u32) -> bool {
        self.exclusion.is_none_or(|(exclusion, rule)| {
            let here = exclusion.on_executor.get(&(partition, self.executor)).copied().unwrap_or(0);
            let near = exclusion.on_worker.get(&(partition, self.worker)).copied().unwrap_or(0);
            here < rule.task_failures_per_executor && near < rule.task_failures_per_worker
        })
    }
}

/// Failures of stages that succeeded at last, by executor, each with the time until it counts.
pub(crate) type ExecutorFailures = BTreeMap<ExecutorId, Vec<(Time, u32)>>;

impl Scheduler {
    /// Records where a task has failed, and looks whether it can still run anywhere.
    pub(crate) fn exclude_after_failure(&mut self, attempt: &TaskAttempt) {
        let Some(rule) = &self.config.exclusion else { return };
        let Some(node) = self.stages.get_mut(attempt.stage) else { return };
        let exclusion = node.exclusion.get_or_insert_default();
        exclusion.record(rule, attempt.partition, attempt.executor_id, attempt.worker);
        if !std::mem::replace(&mut exclusion.is_timed, true) {
            let look = self.now + rule.unschedulable_timeout / LOOKS;
            self.timers.arm(look, SchedulerTimer::Unschedulable(attempt.stage));
        }
        if self.is_excluded_everywhere(attempt.stage, attempt.partition) {
            self.wait_for_others(attempt.stage, attempt.partition);
        }
    }

    /// Whether there are executors for a waiting task, and it may run on none of them. The look
    /// ends at the first that it may run on.
    fn is_excluded_everywhere(&self, slot: StageSlot, partition: u32) -> bool {
        let Some(node) = self.stages.get(slot) else { return false };
        let waits = node.records.get(partition as usize).is_some_and(|record| record.is_pending());
        let mut any = false;
        for (_, on) in self.executors.iter().filter(|(_, on)| on.profile == node.terms.shape.profile) {
            any = true;
            let filter = TaskFilter::new(node.exclusion.as_deref(), self.config.exclusion.as_ref(), on);
            if self.executors.is_active(on) && !filter.refuses_all() && filter.allows(partition) {
                return false;
            }
        }
        waits && any
    }

    /// Says that a task can run nowhere, and has an executor replaced that has nothing to do.
    fn wait_for_others(&mut self, slot: StageSlot, partition: u32) {
        let Some(node) = self.stages.get_mut(slot).filter(|node| node.attempts.unschedulable.is_none()) else { return };
        node.attempts.unschedulable = Some((partition, self.now));
        let (task, profile) = (node.task(partition), node.terms.shape.profile);
        self.effect(SchedulerEffect::Unschedulable(task));
        let mut others = self.executors.iter().filter(|(_, on)| on.profile == profile && on.attempts.is_empty());
        let idle = others.find(|(_, on)| !on.is_kill_requested).map(|(idle, _)| idle);
        drop(others);
        if let Some(idle) = idle {
            self.replace_excluded(idle);
        }
    }

    fn replace_excluded(&mut self, slot: ExecutorSlot) {
        let Some(node) = self.executors.get_mut(slot) else { return };
        node.is_kill_requested = true;
        let id = node.id;
        self.executors.reindex(slot);
        self.effect(SchedulerEffect::ReplaceExecutor(id, ReplaceReason::Excluded));
    }

    /// Looks whether a stage that avoids executors has a task that can run nowhere: not only
    /// failures do that, but also the loss of those executors that it does not avoid. When that
    /// lasts, its jobs fail.
    pub(crate) fn look_for_unschedulable(&mut self, slot: StageSlot) {
        let Some(rule) = &self.config.exclusion else { return };
        let Some(node) = self.stages.get_mut(slot) else { return };
        let needed = !node.jobs.is_empty();
        let Some(exclusion) = node.exclusion.as_mut() else { return };
        exclusion.is_timed = needed;
        if !needed {
            return;
        }
        self.timers.arm(self.now + rule.unschedulable_timeout / LOOKS, SchedulerTimer::Unschedulable(slot));
        let failed = exclusion.on_executor.keys().map(|(partition, _)| *partition);
        let waiting: BTreeSet<u32> = failed.chain(node.pending.first(&node.records)).collect();
        let since = node.attempts.unschedulable.map(|(_, since)| since);
        let is_over = since.is_some_and(|since| since + rule.unschedulable_timeout <= self.now);
        let is_active = node.phase == StagePhase::Active;
        let stuck = waiting.into_iter().find(|partition| is_active && self.is_excluded_everywhere(slot, *partition));
        match stuck {
            Some(_) if is_over => {
                let failure = self.stages.get(slot).and_then(|node| node.attempts.last_failure.clone());
                self.abort_stage_for(slot, failure.map(|failure| *failure), &FailureCause::Unschedulable);
            }
            Some(partition) => self.wait_for_others(slot, partition),
            None => {
                if let Some(node) = self.stages.get_mut(slot) {
                    node.attempts.unschedulable = None;
                }
            }
        }
    }

    /// A stage has succeeded: the failures that it had were not its own, and count against the
    /// executors.
    pub(crate) fn exclude_after_stage(&mut self, slot: StageSlot) {
        let Some(rule) = self.config.exclusion else { return };
        let Some(exclusion) = self.stages.get_mut(slot).and_then(|node| node.exclusion.take()) else { return };
        for (executor, tasks) in exclusion.tasks {
            let Some(at) = self.executors.find(executor) else { continue };
            let failures = self.executor_failures.entry(executor).or_default();
            failures.retain(|(until, _)| *until > self.now);
            failures.push((self.now + rule.timeout, tasks));
            let sum: u32 = failures.iter().map(|(_, tasks)| tasks).sum();
            if sum >= rule.application_tasks_per_executor {
                self.exclude_executor(at, &rule);
            }
        }
    }

    fn exclude_executor(&mut self, slot: ExecutorSlot, rule: &ExclusionRule) {
        let until = self.now + rule.timeout;
        let Some(node) = self.executors.get_mut(slot) else { return };
        node.excluded_until = Some(until);
        let worker = node.worker;
        self.executors.reindex(slot);
        self.timers.arm(until, SchedulerTimer::Excluded(slot));
        let executors: Vec<ExecutorSlot> = self.executors.worker_mut(worker).executors.iter().copied().collect();
        let is_excluded =
            |slot: &&ExecutorSlot| self.executors.get(**slot).is_some_and(|on| on.excluded_until.is_some());
        if executors.iter().filter(is_excluded).count() as u64 >= u64::from(rule.application_executors_per_worker) {
            self.executors.worker_mut(worker).excluded_until = Some(until);
            executors.iter().for_each(|slot| self.executors.reindex(*slot));
            self.timers.arm(until, SchedulerTimer::WorkerExcluded(worker));
        }
        if rule.replace {
            self.replace_excluded(slot);
        }
    }

    /// Ends the exclusion of an executor, unless it was prolonged.
    pub(crate) fn end_exclusion(&mut self, slot: ExecutorSlot) {
        let Some(node) = self.executors.get_mut(slot) else { return };
        if node.excluded_until.is_some_and(|until| until <= self.now) {
            node.excluded_until = None;
            self.unsettled.executors.push(slot);
        }
    }

    /// Ends the exclusion of a worker, unless it was prolonged.
    pub(crate) fn end_worker_exclusion(&mut self, worker: WorkerIndex) {
        let now = self.now;
        let node = self.executors.worker_mut(worker);
        if node.excluded_until.is_some_and(|until| until <= now) {
            node.excluded_until = None;
            let executors = node.executors.iter().copied();
            self.unsettled.executors.extend(executors);
        }
    }
}
