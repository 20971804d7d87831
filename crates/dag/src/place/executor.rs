//! An executor that may have a core free is offered to the stages that wait.

use crate::attempt::TakenTask;
use crate::ids::{ExecutorSlot, PoolIndex, StageSlot};
use crate::pool::QueueKey;
use crate::scheduler::Scheduler;
use crate::stage::TaskShape;

impl Scheduler {
    /// Launches tasks on an executor until it is full, or nothing that waits may run there.
    pub(crate) fn offer_executor(&mut self, slot: ExecutorSlot) {
        if self.listed_barriers > 0 {
            self.executors.reindex(slot);
            if let Some(profile) = self.executors.get(slot).map(|node| node.profile) {
                self.offer_to_barriers(profile);
            }
        }
        if self.executors.get(slot).is_some_and(|node| self.executors.is_active(node)) {
            let mut last = None;
            while self.may_take_more(slot, last)
                && let Some((stage, task)) = self.next_task(slot)
            {
                self.launch(stage, slot, task);
                last = Some(stage);
            }
        }
        self.executors.reindex(slot);
    }

    /// Whether it is worth looking for another task: an executor without a free core takes one only
    /// where tasks are sent ahead, which the stage of its last launch tells.
    fn may_take_more(&self, slot: ExecutorSlot, last: Option<StageSlot>) -> bool {
        let is_full = self.executors.get(slot).is_none_or(|node| node.free() == 0);
        !self.pools.is_idle() && (!is_full || last.is_none_or(|stage| self.may_send_ahead(stage, slot)))
    }

    /// The task that is due on an executor: of the first pool, in its order, that has one.
    fn next_task(&mut self, slot: ExecutorSlot) -> Option<(StageSlot, TakenTask)> {
        let first = self.pools.first()?;
        if let Some(found) = self.next_of_pool(first, slot) {
            return Some(found);
        }
        let mut others = self.pools.in_order();
        others.retain(|pool| *pool != first);
        others.into_iter().find_map(|pool| self.next_of_pool(pool, slot))
    }

    fn next_of_pool(&mut self, pool: PoolIndex, slot: ExecutorSlot) -> Option<(StageSlot, TakenTask)> {
        // Stages that have excluded the executor, or whose slow tasks run there.
        let mut skipped = Vec::new();
        loop {
            let (shape, key) = self.first_of_pool(pool, slot, &skipped)?;
            let is_full = self.executors.get(slot).is_none_or(|node| node.free() < shape.cores);
            if is_full && !self.may_send_ahead(key.slot, slot) {
                return None;
            }
            match self.take_task(key.slot, slot) {
                Some(task) => return Some((key.slot, task)),
                None => skipped.push(key.slot),
            }
        }
    }

    /// The first stage of a pool that may have a task for an executor.
    fn first_of_pool(
        &self,
        pool: PoolIndex,
        slot: ExecutorSlot,
        skipped: &[StageSlot],
    ) -> Option<(TaskShape, QueueKey)> {
        let node = self.executors.get(slot)?;
        // An executor that has no core free may take another task of what it runs already, ahead.
        let most = if node.free() > 0 { node.free() } else { node.cores };
        let (least, most) =
            (TaskShape { profile: node.profile, cores: 0 }, TaskShape { profile: node.profile, cores: most });
        let queues = self.pools.get(pool)?.queues.range(least..=most);
        let key_of = |stage: StageSlot| self.stages.get(stage).map(|node| node.place.key);
        let firsts = queues.filter_map(|(shape, queue)| Some((*shape, queue.first(node.keys(), skipped, key_of)?)));
        firsts.min_by_key(|(_, key)| *key)
    }

    /// Whether a task of a stage may be sent to an executor that has no core free for it: when the
    /// tasks of the stage are short, and there are enough of them that the other executors will
    /// not wait for what this one still has.
    fn may_send_ahead(&self, stage: StageSlot, slot: ExecutorSlot) -> bool {
        let (Some(node), Some(on)) = (self.stages.get(stage), self.executors.get(slot)) else { return false };
        let rule = self.config.prefetch;
        let short = node.ahead(u64::try_from(rule.ahead.as_nanos()).unwrap_or(u64::MAX), rule.most);
        let cores = self.executors.profile(on.profile).map_or(1, |profile| profile.cores.max(1));
        let share = u64::from(node.pending.count()) / (2 * cores);
        let most = u64::from(on.cores) * (1 + short.min(share));
        on.used + u64::from(node.terms.shape.cores) <= most
    }
}
