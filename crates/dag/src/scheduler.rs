//! The state machine: its state, and which method handles which input.

use std::collections::{BTreeMap, BTreeSet};

use muster_types::{ProfileId, Time};
use slotmap::SlotMap;

use crate::attempt::TaskAttempt;
use crate::exclusion::ExecutorFailures;
use crate::executor::ExecutorTable;
use crate::ids::{AttemptSlot, StageSlot};
use crate::job::JobTable;
use crate::output::OutputIndex;
use crate::place::{StageOffer, Unsettled};
use crate::pool::PoolTable;
use crate::stage::{StageGraph, StagePhase};
use crate::timers::{SchedulerTimer, SchedulerTimers};
use crate::{PoolSpec, SchedulerConfig, SchedulerEffect, SchedulerInput, StageId};

/// An application's decisions. The caller feeds it inputs with the time, and then does what
/// [`Scheduler::drain`] returns.
#[derive(Debug)]
pub struct Scheduler {
    pub(crate) config: SchedulerConfig,
    /// The time of the input that is being handled.
    pub(crate) now: Time,
    pub(crate) jobs: JobTable,
    pub(crate) stages: StageGraph,
    pub(crate) attempts: SlotMap<AttemptSlot, TaskAttempt>,
    pub(crate) executors: ExecutorTable,
    pub(crate) pools: PoolTable,
    pub(crate) outputs: OutputIndex,
    pub(crate) executor_failures: ExecutorFailures,
    pub(crate) timers: SchedulerTimers,
    /// Raised whenever outputs are lost.
    pub(crate) output_epoch: u64,
    /// How many attempts were launched.
    pub(crate) launches: u64,
    /// Barrier stages that are listed.
    pub(crate) listed_barriers: usize,
    /// Stages that are listed and wait at a level of locality.
    pub(crate) delayed: BTreeSet<StageSlot>,
    /// When an executor of a profile was last given to another stage while one waited at a level.
    pub(crate) refused: BTreeMap<ProfileId, Time>,
    pub(crate) unsettled: Unsettled,
    pub(crate) effects: Vec<SchedulerEffect>,
}

impl Scheduler {
    /// A scheduler without jobs and executors.
    pub fn new(config: SchedulerConfig) -> Scheduler {
        Scheduler {
            config,
            now: Time::default(),
            jobs: JobTable::default(),
            stages: StageGraph::default(),
            attempts: SlotMap::with_key(),
            executors: ExecutorTable::default(),
            pools: PoolTable::default(),
            outputs: OutputIndex::default(),
            executor_failures: ExecutorFailures::default(),
            timers: SchedulerTimers::default(),
            // 0 says that nothing is lost.
            output_epoch: 1,
            launches: 0,
            listed_barriers: 0,
            delayed: BTreeSet::new(),
            refused: BTreeMap::new(),
            unsettled: Unsettled::default(),
            effects: Vec::new(),
        }
    }

    /// Handles one input. It cannot fail: one that makes no sense is answered by a rejection, or
    /// ignored.
    pub fn handle(&mut self, now: Time, input: SchedulerInput) {
        self.now = now;
        match input {
            SchedulerInput::SubmitJob(spec) => self.submit_job(*spec),
            SchedulerInput::Cancel { jobs, reason } => self.cancel(jobs, &reason),
            SchedulerInput::ReleaseStage(stage) => self.release_stage(stage),
            SchedulerInput::SetPool(spec) => self.set_pool(spec),
            SchedulerInput::RegisterExecutor(spec) => self.register_executor(&spec),
            SchedulerInput::ExecutorReady(executor) => self.executor_ready(executor),
            SchedulerInput::ExecutorDisconnected(executor) => self.executor_disconnected(executor),
            SchedulerInput::ExecutorLost(executor, loss) => self.lose_executor(executor, loss),
            SchedulerInput::WorkerLost(worker) => self.lose_worker(worker),
            SchedulerInput::DecommissionExecutor(executor) => self.decommission_executor(executor),
            SchedulerInput::ExecutorKillRequested(executor) => self.executor_kill_requested(executor),
            SchedulerInput::ExecutorHeartbeat(executor) => self.executor_heartbeat(executor),
            SchedulerInput::AttemptStarted(executor, attempt, ago) => self.attempt_started(executor, attempt, ago),
            SchedulerInput::AttemptEnded(executor, attempt, end) => self.end_attempt(executor, attempt, end),
            SchedulerInput::AskCommit(executor, attempt) => self.ask_commit(executor, attempt),
            SchedulerInput::OutputMoved(output, location) => self.move_output(output, location),
            SchedulerInput::Tick => self.tick(),
        }
        self.settle();
    }

    /// Takes the effects of the inputs since the last call, in order.
    pub fn drain(&mut self) -> impl Iterator<Item = SchedulerEffect> + '_ {
        self.effects.drain(..)
    }

    /// When the scheduler next wants a [`SchedulerInput::Tick`].
    pub fn next_deadline(&self) -> Option<Time> {
        self.timers.next()
    }

    pub(crate) fn effect(&mut self, effect: SchedulerEffect) {
        self.effects.push(effect);
    }

    /// Offers everything of a stage at the end of the input.
    pub(crate) fn offer_later(&mut self, slot: StageSlot) {
        self.unsettled.stages.push((slot, StageOffer::All));
    }

    /// Does what follows from the input: first for stages, then for what may run on executors.
    fn settle(&mut self) {
        loop {
            if let Some(stage) = self.unsettled.roll_back.pop() {
                self.roll_back(stage);
            } else if let Some(stage) = self.unsettled.required.pop_first() {
                if self.stages.get(stage).is_some_and(|node| node.phase == StagePhase::Waiting) {
                    self.require_again(stage);
                }
            } else if let Some(executor) = self.unsettled.executors.pop() {
                self.offer_executor(executor);
            } else if let Some((stage, offer)) = self.unsettled.stages.pop() {
                self.offer_stage(stage, offer);
            } else {
                return;
            }
        }
    }

    fn tick(&mut self) {
        while let Some(timer) = self.timers.take_due(self.now) {
            match timer {
                SchedulerTimer::Locality(stage) => self.check_level(stage),
                SchedulerTimer::Resubmit(stage) => self.end_resubmit_delay(stage),
                SchedulerTimer::Barrier(stage) => self.check_barrier(stage),
                SchedulerTimer::Speculation(stage) => self.find_slow_tasks(stage),
                SchedulerTimer::Unschedulable(stage) => self.look_for_unschedulable(stage),
                SchedulerTimer::Disconnected(executor) => self.end_disconnect_delay(executor),
                SchedulerTimer::Heartbeat(executor) => self.check_heartbeat(executor),
                SchedulerTimer::Excluded(executor) => self.end_exclusion(executor),
                SchedulerTimer::WorkerExcluded(worker) => self.end_worker_exclusion(worker),
                SchedulerTimer::Kill(attempt) => self.end_kill_timeout(attempt),
            }
            self.settle();
        }
    }

    fn release_stage(&mut self, stage: StageId) {
        let Some(slot) = self.stages.find(stage) else { return };
        if let Some(node) = self.stages.get_mut(slot) {
            node.is_released = true;
        }
        self.release_unneeded(slot);
    }

    fn set_pool(&mut self, spec: PoolSpec) {
        if !self.pools.is_known(&spec.name) && self.pools.len() >= self.config.limits.pools {
            return;
        }
        let index = self.pools.find_or_add(&spec.name);
        if let Some(pool) = self.pools.get_mut(index) {
            pool.spec = spec;
        }
        let slots: Vec<StageSlot> = self.stages.iter().map(|(slot, _)| slot).collect();
        slots.into_iter().for_each(|slot| self.rekey(slot));
    }

    /// Counts one more, or one fewer, running task of a stage. The list of the stage has changed
    /// already.
    pub(crate) fn count_running(&mut self, stage: StageSlot, change: i64) {
        let Some(index) = self.stages.get(stage).map(|node| node.place.pool) else { return };
        let Some(pool) = self.pools.get_mut(index) else { return };
        pool.running = pool.running.saturating_add_signed(change);
        if pool.spec.order == crate::PoolOrder::Fair {
            self.rekey(stage);
        }
    }
}
