//! Which stages are listed in their pools: those that have tasks to launch.

use super::StageOffer;
use crate::ids::{PoolIndex, StageSlot};
use crate::locality::LocalityKey;
use crate::pool::{QueueKey, RunQueue};
use crate::scheduler::Scheduler;
use crate::stage::{StageNode, StagePhase};
use crate::{Locality, PoolOrder};

impl StageNode {
    /// Whether a task may be launched on any executor.
    pub(crate) fn is_open(&self) -> bool {
        self.place.level == Locality::Any
            || self.pending.may_have_free()
            || self.speculation.as_ref().is_some_and(|copies| !copies.queue.is_empty())
    }

    /// The preferences for which a task may be launched.
    pub(crate) fn open_keys(&self) -> impl Iterator<Item = LocalityKey> + '_ {
        self.pending.keys().filter(|key| key.level() <= self.place.level)
    }
}

impl Scheduler {
    /// Lists a stage in its pool, if it has something to launch.
    pub(crate) fn list_stage(&mut self, slot: StageSlot) {
        let Some(node) = self.stages.get_mut(slot).filter(|node| node.has_work() && !node.place.is_listed) else {
            return;
        };
        node.place.is_listed = true;
        node.place.level_since = self.now;
        if node.terms.barrier {
            let (tasks, key) = (node.tasks(), node.place.key);
            self.pools.change(node.place.pool, node.terms.shape, |queue| queue.insert_barrier(tasks, key));
            self.listed_barriers += 1;
            return;
        }
        self.list_open(slot);
    }

    /// Adds to the queue what may be launched at the present level. What is there stays.
    pub(crate) fn list_open(&mut self, slot: StageSlot) {
        let Some(node) = self.stages.get(slot).filter(|node| node.place.is_listed && !node.terms.barrier) else {
            return;
        };
        let key = node.place.key;
        let delayed = node.place.level != Locality::Any;
        self.pools.change(node.place.pool, node.terms.shape, |queue| {
            node.open_keys().for_each(|preference| queue.insert_local(preference, key));
            if node.is_open() {
                queue.insert_open(key);
            }
            if delayed {
                queue.delayed.insert(slot);
            } else {
                queue.delayed.remove(&slot);
            }
        });
        if delayed {
            self.delayed.insert(slot);
            self.time_level(slot);
        } else {
            self.delayed.remove(&slot);
        }
    }

    /// Takes a stage out of its pool.
    pub(crate) fn unlist_stage(&mut self, slot: StageSlot) {
        let Some(node) = self.stages.get_mut(slot).filter(|node| node.place.is_listed) else { return };
        node.place.is_listed = false;
        let (key, tasks, barrier) = (node.place.key, node.tasks(), node.terms.barrier);
        let preferences: Vec<LocalityKey> = node.pending.keys().collect();
        self.pools.change(node.place.pool, node.terms.shape, |queue| {
            if barrier {
                queue.remove_barrier(tasks, key);
                return;
            }
            queue.remove_open(key);
            preferences.into_iter().for_each(|preference| queue.remove_local(preference, key));
            queue.delayed.remove(&slot);
        });
        node.pending.forget_taken();
        self.delayed.remove(&slot);
        if barrier {
            self.listed_barriers -= 1;
        }
    }

    /// Has a task wait again. Its record says so already.
    pub(crate) fn requeue(&mut self, slot: StageSlot, partition: u32) {
        let Some(node) = self.stages.get_mut(slot) else { return };
        node.pending.push(partition);
        if node.phase != StagePhase::Active {
            return;
        }
        if node.place.is_listed {
            self.list_open(slot);
        } else {
            self.list_stage(slot);
        }
        self.unsettled.stages.push((slot, StageOffer::Task(partition)));
    }

    /// Gives a stage the pool and the key that follow from the first of its jobs, and from what it
    /// runs.
    pub(crate) fn rekey(&mut self, slot: StageSlot) {
        let Some(node) = self.stages.get(slot) else { return };
        let Some(job) = node.jobs.first().copied() else { return };
        let Some(pool) = self.jobs.get(job).map(|entry| entry.pool) else { return };
        let running = match self.pools.order(pool) {
            PoolOrder::Fifo => 0,
            PoolOrder::Fair => u32::try_from(node.running.len()).unwrap_or(u32::MAX),
        };
        let key = QueueKey { running, job, ..node.place.key };
        if (node.place.pool, node.place.key.job) == (pool, job) {
            if node.place.key != key {
                self.move_in_queue(slot, key);
            }
        } else {
            self.move_to_pool(slot, pool, key);
        }
    }

    /// Moves a stage in its queue by what it runs. The lists of preferences do not depend on that.
    fn move_in_queue(&mut self, slot: StageSlot, key: QueueKey) {
        let Some(node) = self.stages.get_mut(slot) else { return };
        let before = std::mem::replace(&mut node.place.key, key);
        if !node.place.is_listed {
            return;
        }
        let tasks = node.tasks();
        self.pools.change(node.place.pool, node.terms.shape, |queue: &mut RunQueue| {
            if queue.remove_open(before) {
                queue.insert_open(key);
            }
            if queue.remove_barrier(tasks, before) {
                queue.insert_barrier(tasks, key);
            }
        });
    }

    fn move_to_pool(&mut self, slot: StageSlot, pool: PoolIndex, key: QueueKey) {
        let was_listed = self.stages.get(slot).is_some_and(|node| node.place.is_listed);
        self.unlist_stage(slot);
        let Some(node) = self.stages.get_mut(slot) else { return };
        let running = node.running.len() as u64;
        if let Some(before) = self.pools.get_mut(node.place.pool) {
            before.running = before.running.saturating_sub(running);
        }
        if let Some(after) = self.pools.get_mut(pool) {
            after.running += running;
        }
        node.place.pool = pool;
        node.place.key = key;
        if was_listed {
            self.list_stage(slot);
        }
    }
}
