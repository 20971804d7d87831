//! Executors that come.

use muster_types::ExecutorId;

use super::{ExecutorNode, ExecutorPhase};
use crate::scheduler::Scheduler;
use crate::timers::SchedulerTimer;
use crate::{ExecutorRefusal, ExecutorSpec, OutputLocation, SchedulerEffect};

impl Scheduler {
    /// Registers an executor, or refuses it.
    pub(crate) fn register_executor(&mut self, spec: &ExecutorSpec) {
        let id = spec.executor;
        let worker = self.executors.worker_index(spec.worker);
        let refusal = if self.executors.is_known(id) {
            Some(ExecutorRefusal::Duplicate)
        } else if self.executors.worker(worker).is_some_and(|worker| worker.excluded_until.is_some()) {
            Some(ExecutorRefusal::Excluded)
        } else if spec.cores == 0 {
            Some(ExecutorRefusal::NoCores)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            return self.effect(SchedulerEffect::ExecutorRefused(id, refusal));
        }
        let rack = spec.rack.as_ref().map(|rack| self.executors.rack_index(rack));
        self.executors.worker_mut(worker).rack = rack;
        let location = self.outputs.index(OutputLocation::Executor(id));
        let slot = self.executors.insert(ExecutorNode {
            id,
            worker,
            rack,
            profile: spec.profile,
            cores: spec.cores,
            used: 0,
            phase: ExecutorPhase::Registered,
            is_kill_requested: false,
            is_decommissioned: false,
            excluded_until: None,
            heard: self.now,
            location,
            attempts: Vec::new(),
            indexed: (0, 0),
        });
        self.timers.arm(self.now + self.config.heartbeat_timeout, SchedulerTimer::Heartbeat(slot));
        self.effect(SchedulerEffect::ExecutorAccepted(id));
    }

    /// An executor can run tasks from now on.
    pub(crate) fn executor_ready(&mut self, id: ExecutorId) {
        let Some(slot) = self.executors.find(id) else { return };
        let Some(node) = self.executors.get_mut(slot) else { return };
        node.heard = self.now;
        if node.phase == ExecutorPhase::Registered {
            node.phase = ExecutorPhase::Ready;
            self.unsettled.executors.push(slot);
        }
    }

    /// Nothing more is given to an executor that leaves.
    pub(crate) fn decommission_executor(&mut self, id: ExecutorId) {
        let Some(slot) = self.executors.find(id) else { return };
        let Some(node) = self.executors.get_mut(slot) else { return };
        node.is_decommissioned = true;
        if node.phase != ExecutorPhase::Disconnected {
            node.phase = ExecutorPhase::Decommissioning;
        }
        self.outputs.set_decommissioned(id);
        self.executors.reindex(slot);
    }

    /// Nothing more is given to an executor whose end was asked for.
    pub(crate) fn executor_kill_requested(&mut self, id: ExecutorId) {
        let Some(slot) = self.executors.find(id) else { return };
        if let Some(node) = self.executors.get_mut(slot) {
            node.is_kill_requested = true;
        }
        self.executors.reindex(slot);
    }
}
