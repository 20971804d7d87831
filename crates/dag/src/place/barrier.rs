//! Barrier stages: all tasks at the same time, or none.

use std::collections::BTreeMap;

use muster_types::ProfileId;

use crate::attempt::TakenTask;
use crate::exclusion::TaskFilter;
use crate::ids::{ExecutorSlot, PoolIndex, StageSlot};
use crate::scheduler::Scheduler;
use crate::stage::StagePhase;
use crate::timers::SchedulerTimer;
use crate::{FailureCause, Locality};

impl Scheduler {
    /// Launches the barrier stages that fit into what is free now. Nothing is kept free for one
    /// that does not.
    pub(crate) fn offer_to_barriers(&mut self, profile: ProfileId) {
        let free = self.executors.profile(profile).map_or(0, |executors| executors.free);
        let mut found: Vec<StageSlot> = Vec::new();
        for index in self.pools.in_order() {
            found.extend(self.barriers_of_pool(index, profile, free));
        }
        for stage in found {
            self.launch_barrier(stage);
        }
    }

    /// The barrier stages of a pool that may fit. The smallest of each shape comes first.
    fn barriers_of_pool(&self, pool: PoolIndex, profile: ProfileId, free: u64) -> Vec<StageSlot> {
        let queues = self.pools.get(pool).into_iter().flat_map(|pool| &pool.queues);
        let queues = queues.filter(|(shape, queue)| shape.profile == profile && queue.has_barriers());
        queues.flat_map(|(shape, queue)| queue.barriers(free / u64::from(shape.cores.max(1)))).collect()
    }

    /// Launches every task of a barrier stage, if all of them wait and there is room for all.
    pub(crate) fn launch_barrier(&mut self, slot: StageSlot) -> bool {
        let Some(plan) = self.plan_barrier(slot) else { return false };
        if let Some(node) = self.stages.get_mut(slot) {
            node.pending.take_all();
        }
        self.unlist_stage(slot);
        for (executor, task) in plan {
            self.launch(slot, executor, task);
            self.executors.reindex(executor);
        }
        true
    }

    fn plan_barrier(&self, slot: StageSlot) -> Option<Vec<(ExecutorSlot, TakenTask)>> {
        let node = self.stages.get(slot).filter(|node| node.place.is_listed)?;
        let (tasks, shape) = (node.tasks(), node.terms.shape);
        let profile = self.executors.profile(shape.profile)?;
        if node.pending.count() != tasks || profile.free < u64::from(tasks) * u64::from(shape.cores) {
            return None;
        }
        let rule = self.config.exclusion.as_ref();
        let mut places: BTreeMap<ExecutorSlot, u32> = BTreeMap::new();
        for executor in profile.idle(shape.cores) {
            let on = self.executors.get(executor)?;
            if !TaskFilter::new(node.exclusion.as_deref(), rule, on).refuses_all() {
                places.insert(executor, on.free() / shape.cores);
            }
        }
        if places.values().map(|places| u64::from(*places)).sum::<u64>() < u64::from(tasks) {
            return None;
        }
        let may = |executor: ExecutorSlot, partition: u32| {
            let on = self.executors.get(executor);
            on.is_some_and(|on| TaskFilter::new(node.exclusion.as_deref(), rule, on).allows(partition))
        };
        let (mut plan, mut rest) = (Vec::new(), Vec::new());
        for partition in 0..tasks {
            let preferred = node.pending.preferred(partition).iter();
            let near = preferred.flat_map(|key| self.executors.serving(*key).into_iter().map(|at| (key.level(), at)));
            let mut near = near.filter(|(_, at)| places.get(at).is_some_and(|left| *left > 0) && may(*at, partition));
            match near.next() {
                Some((locality, executor)) => {
                    drop(near);
                    *places.entry(executor).or_default() -= 1;
                    plan.push((executor, TakenTask { partition, locality, speculative: false }));
                }
                None => rest.push(partition),
            }
        }
        for partition in rest {
            places.retain(|_, left| *left > 0);
            let executor = places.keys().copied().find(|executor| may(*executor, partition))?;
            *places.entry(executor).or_default() -= 1;
            let locality = if node.pending.has_preferences() { Locality::Any } else { Locality::NoPreference };
            plan.push((executor, TakenTask { partition, locality, speculative: false }));
        }
        Some(plan)
    }

    /// Looks whether the executors could run a barrier stage if they had nothing else. When they
    /// cannot for too long, its jobs fail.
    pub(crate) fn check_barrier(&mut self, slot: StageSlot) {
        let Some(node) = self.stages.get(slot).filter(|node| node.phase == StagePhase::Active) else { return };
        let (shape, needed) = (node.terms.shape, node.tasks());
        if !node.place.is_listed {
            return;
        }
        let active = self.executors.iter().map(|(_, on)| on);
        let active = active.filter(|on| on.profile == shape.profile && self.executors.is_active(on));
        let available: u64 = active.map(|on| u64::from(on.cores / shape.cores)).sum();
        let wait = self.config.barrier;
        let Some(node) = self.stages.get_mut(slot) else { return };
        if available >= u64::from(needed) {
            node.attempts.barrier_tries = 0;
        } else {
            node.attempts.barrier_tries += 1;
            if node.attempts.barrier_tries > wait.tries {
                return self.abort_stage_for(slot, None, &FailureCause::TooFewSlots { needed, available });
            }
        }
        self.timers.arm(self.now + wait.interval, SchedulerTimer::Barrier(slot));
    }
}
