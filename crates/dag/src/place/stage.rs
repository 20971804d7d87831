//! A stage that has something new to launch is offered the executors that are free.

use super::StageOffer;
use crate::ids::{ExecutorSlot, StageSlot};
use crate::locality::LocalityKey;
use crate::scheduler::Scheduler;

impl Scheduler {
    /// Launches tasks of a stage while executors are free that they may run on.
    pub(crate) fn offer_stage(&mut self, slot: StageSlot, offer: StageOffer) {
        let Some(node) = self.stages.get(slot).filter(|node| node.place.is_listed) else { return };
        let shape = node.terms.shape;
        let is_idle =
            |it: &Scheduler| it.executors.profile(shape.profile).is_some_and(|profile| profile.has_idle(shape.cores));
        if !is_idle(self) {
            return;
        }
        if node.terms.barrier {
            self.launch_barrier(slot);
            return;
        }
        let keys: Vec<LocalityKey> = match offer {
            StageOffer::All => node.open_keys().collect(),
            StageOffer::Task(partition) => {
                let preferred = node.pending.preferred(partition).iter().copied();
                preferred.filter(|key| key.level() <= node.place.level).collect()
            }
        };
        for key in keys {
            if !is_idle(self) {
                return;
            }
            for executor in self.executors.serving(key) {
                while self.launch_on(slot, executor) {}
            }
        }
        let mut refused: Vec<ExecutorSlot> = Vec::new();
        while self.stages.get(slot).is_some_and(|node| node.place.is_listed && node.is_open()) {
            let idle = self.executors.profile(shape.profile);
            let next = idle.and_then(|profile| profile.idle(shape.cores).find(|executor| !refused.contains(executor)));
            let Some(executor) = next else { return };
            if !self.launch_on(slot, executor) {
                refused.push(executor);
            }
        }
    }

    /// Launches a task of a stage on an executor that has enough cores free. Returns whether there
    /// was one.
    fn launch_on(&mut self, slot: StageSlot, executor: ExecutorSlot) -> bool {
        let Some(node) = self.stages.get(slot).filter(|node| node.place.is_listed) else { return false };
        let shape = node.terms.shape;
        let fits = self
            .executors
            .get(executor)
            .is_some_and(|on| on.profile == shape.profile && on.free() >= shape.cores && self.executors.is_active(on));
        if !fits {
            return false;
        }
        let Some(task) = self.take_task(slot, executor) else { return false };
        self.launch(slot, executor, task);
        self.executors.reindex(executor);
        true
    }
}
