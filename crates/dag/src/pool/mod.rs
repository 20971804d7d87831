//! Pools, and the stages that wait in them.

mod queue;

pub(crate) use queue::{QueueKey, RunQueue};

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ids::{PoolIndex, StageSlot};
use crate::locality::LocalityKey;
use crate::stage::TaskShape;
use crate::{PoolOrder, PoolSpec};

/// A pool.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) spec: PoolSpec,
    /// Running tasks of its stages.
    pub(crate) running: u64,
    /// The stages with tasks to launch, by what each task takes.
    pub(crate) queues: BTreeMap<TaskShape, RunQueue>,
}

impl Pool {
    /// Compares what two pools have: one that is below its own share comes before one that is not;
    /// among those below, the one that has the smaller part of its share; among the others, the one
    /// that has less for its weight; and then by name.
    fn compare(&self, other: &Pool) -> Ordering {
        let needs = |pool: &Pool| pool.running < u64::from(pool.spec.min_share);
        let by_share = match (needs(self), needs(other)) {
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            (true, true) => ratio(self, other, |pool| pool.spec.min_share),
            (false, false) => ratio(self, other, |pool| pool.spec.weight),
        };
        by_share.then_with(|| self.spec.name.cmp(&other.spec.name))
    }
}

/// Compares running tasks per a part of the specification, without division.
fn ratio(one: &Pool, other: &Pool, part: impl Fn(&Pool) -> u32) -> Ordering {
    let product = |pool: &Pool, by: &Pool| u128::from(pool.running) * u128::from(part(by).max(1));
    product(one, other).cmp(&product(other, one))
}

/// All pools.
#[derive(Debug, Default)]
pub(crate) struct PoolTable {
    pools: Vec<Pool>,
    by_name: BTreeMap<Arc<str>, PoolIndex>,
    /// Pools in which a stage waits.
    waiting: BTreeSet<PoolIndex>,
}

impl PoolTable {
    pub(crate) fn is_known(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    pub(crate) fn len(&self) -> usize {
        self.pools.len()
    }

    pub(crate) fn find_or_add(&mut self, name: &Arc<str>) -> PoolIndex {
        if let Some(index) = self.by_name.get(name) {
            return *index;
        }
        let index = PoolIndex(u32::try_from(self.pools.len()).unwrap_or(u32::MAX));
        self.pools.push(Pool { spec: PoolSpec::new(name.clone()), running: 0, queues: BTreeMap::new() });
        self.by_name.insert(name.clone(), index);
        index
    }

    pub(crate) fn get(&self, index: PoolIndex) -> Option<&Pool> {
        self.pools.get(index.0 as usize)
    }

    pub(crate) fn get_mut(&mut self, index: PoolIndex) -> Option<&mut Pool> {
        self.pools.get_mut(index.0 as usize)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Pool> {
        self.pools.iter()
    }

    pub(crate) fn order(&self, index: PoolIndex) -> PoolOrder {
        self.get(index).map_or(PoolOrder::Fifo, |pool| pool.spec.order)
    }

    /// The pools in which a stage waits, the one that is due first.
    pub(crate) fn in_order(&self) -> Vec<PoolIndex> {
        let mut order: Vec<PoolIndex> = self.waiting.iter().copied().collect();
        if order.len() > 1 {
            order.sort_by(|one, other| self.pools[one.0 as usize].compare(&self.pools[other.0 as usize]));
        }
        order
    }

    /// The first of them, which in most cases has what is looked for.
    pub(crate) fn first(&self) -> Option<PoolIndex> {
        let all = self.waiting.iter().copied();
        all.min_by(|one, other| self.pools[one.0 as usize].compare(&self.pools[other.0 as usize]))
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Changes the queue of a shape, which is there as long as a stage waits in it.
    pub(crate) fn change(&mut self, index: PoolIndex, shape: TaskShape, change: impl FnOnce(&mut RunQueue)) {
        let Some(pool) = self.pools.get_mut(index.0 as usize) else { return };
        let queue = pool.queues.entry(shape).or_default();
        change(queue);
        if queue.is_empty() {
            pool.queues.remove(&shape);
        }
        if pool.queues.is_empty() {
            self.waiting.remove(&index);
        } else {
            self.waiting.insert(index);
        }
    }

    /// Stages that wait for an executor, a worker or a rack.
    pub(crate) fn preferring(&self, key: LocalityKey) -> Vec<StageSlot> {
        let pools = self.waiting.iter().filter_map(|index| self.get(*index));
        pools.flat_map(|pool| pool.queues.values()).flat_map(|queue| queue.preferring(key)).collect()
    }
}
