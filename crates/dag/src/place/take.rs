//! Taking a task of a stage for an executor.

use crate::Locality;
use crate::attempt::TakenTask;
use crate::exclusion::TaskFilter;
use crate::ids::{ExecutorSlot, StageSlot};
use crate::locality::LocalityKey;
use crate::scheduler::Scheduler;
use crate::stage::tasks::TaskState;

impl Scheduler {
    /// Takes the task of a stage that is best for an executor; `None` if the stage has none that
    /// may run there now. A stage that has nothing left is no longer listed.
    pub(crate) fn take_task(&mut self, slot: StageSlot, executor: ExecutorSlot) -> Option<TakenTask> {
        let taken = self.take_waiting(slot, executor).or_else(|| self.take_copy(slot, executor));
        let node = self.stages.get(slot)?;
        if !node.has_work() {
            self.unlist_stage(slot);
        } else if taken.is_some() && !node.is_open() {
            let (pool, shape, key) = (node.place.pool, node.terms.shape, node.place.key);
            self.pools.change(pool, shape, |queue| {
                queue.remove_open(key);
            });
        }
        taken
    }

    fn take_waiting(&mut self, slot: StageSlot, executor: ExecutorSlot) -> Option<TakenTask> {
        let on = self.executors.get(executor)?;
        let node = self.stages.get_mut(slot)?;
        let filter = TaskFilter::new(node.exclusion.as_deref(), self.config.exclusion.as_ref(), on);
        if filter.refuses_all() {
            return None;
        }
        let (records, level, pending) = (&node.records, node.place.level, &mut node.pending);
        let may = |partition: u32| filter.allows(partition);
        let found = |locality, partition| Some(TakenTask { partition, locality, speculative: false });
        if !pending.has_preferences() {
            return pending.take_any(records, may).and_then(|task| found(Locality::NoPreference, task));
        }
        let mut exhausted: [Option<LocalityKey>; 3] = [None; 3];
        let mut taken = None;
        let mut tried_free = false;
        for (at, key) in on.keys().enumerate() {
            if key.level() > Locality::NoPreference && !tried_free {
                tried_free = true;
                taken = pending.take_free(records, may).and_then(|task| found(Locality::NoPreference, task));
            }
            if taken.is_none() && key.level() <= level {
                let (task, is_exhausted) = pending.take_local(key, records, may);
                taken = task.and_then(|task| found(key.level(), task));
                exhausted[at] = is_exhausted.then_some(key);
            }
            if taken.is_some() {
                break;
            }
        }
        if taken.is_none() && !tried_free {
            taken = pending.take_free(records, may).and_then(|task| found(Locality::NoPreference, task));
        }
        if taken.is_none() && level == Locality::Any {
            taken = pending.take_any(records, may).and_then(|task| found(Locality::Any, task));
        }
        let (pool, shape, key) = (node.place.pool, node.terms.shape, node.place.key);
        for preference in exhausted.into_iter().flatten() {
            self.pools.change(pool, shape, |queue| queue.remove_local(preference, key));
        }
        taken
    }

    /// Takes a slow task for a second attempt, on another worker than that of the first.
    fn take_copy(&mut self, slot: StageSlot, executor: ExecutorSlot) -> Option<TakenTask> {
        let on = self.executors.get(executor)?;
        let node = self.stages.get_mut(slot)?;
        let filter = TaskFilter::new(node.exclusion.as_deref(), self.config.exclusion.as_ref(), on);
        let copies = node.speculation.as_mut().filter(|copies| !copies.queue.is_empty())?;
        if filter.refuses_all() {
            return None;
        }
        let mut at = 0;
        while let Some(partition) = copies.queue.get(at).copied() {
            let state = node.records.get(partition as usize).map(|record| record.state);
            let attempt = match state {
                Some(TaskState::Running(newest)) => self.attempts.get(newest).filter(|only| only.before.is_none()),
                Some(TaskState::Pending | TaskState::Done(_)) | None => None,
            };
            match attempt {
                None => drop(copies.queue.remove(at)),
                Some(attempt) if attempt.worker != on.worker && filter.allows(partition) => {
                    copies.queue.remove(at);
                    return Some(TakenTask { partition, locality: Locality::Any, speculative: true });
                }
                Some(_) => at += 1,
            }
        }
        None
    }
}
