//! Executors that fall silent.

use muster_types::ExecutorId;

use super::ExecutorPhase;
use crate::ids::ExecutorSlot;
use crate::scheduler::Scheduler;
use crate::timers::SchedulerTimer;
use crate::{ExecutorLoss, ReplaceReason, SchedulerEffect};

impl Scheduler {
    pub(crate) fn executor_heartbeat(&mut self, id: ExecutorId) {
        if let Some(slot) = self.executors.find(id)
            && let Some(node) = self.executors.get_mut(slot)
        {
            node.heard = self.now;
        }
    }

    /// Looks when an executor was last heard. The timer follows the heartbeats, so that each of
    /// them costs nothing but a stored time.
    pub(crate) fn check_heartbeat(&mut self, slot: ExecutorSlot) {
        let Some(node) = self.executors.get(slot) else { return };
        let (id, due) = (node.id, node.heard + self.config.heartbeat_timeout);
        if due > self.now {
            return self.timers.arm(due, SchedulerTimer::Heartbeat(slot));
        }
        self.effect(SchedulerEffect::ReplaceExecutor(id, ReplaceReason::HeartbeatTimeout));
        self.lose_executor(id, ExecutorLoss::HeartbeatTimeout);
    }

    /// The stream of an executor has broken. That is no death: the master may have its exit code,
    /// by which its tasks are judged.
    pub(crate) fn executor_disconnected(&mut self, id: ExecutorId) {
        let Some(slot) = self.executors.find(id) else { return };
        if let Some(node) = self.executors.get_mut(slot) {
            node.phase = ExecutorPhase::Disconnected;
        }
        self.executors.reindex(slot);
        self.timers.arm(self.now + self.config.disconnect_delay, SchedulerTimer::Disconnected(slot));
    }

    /// Nobody has said why the stream of an executor has broken.
    pub(crate) fn end_disconnect_delay(&mut self, slot: ExecutorSlot) {
        let Some(node) = self.executors.get(slot) else { return };
        let id = node.id;
        self.lose_executor(id, ExecutorLoss::ProcessLost);
    }
}
