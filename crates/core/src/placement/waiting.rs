//! Waiting drivers or executors, grouped by shape, with the shapes that fit nowhere at present.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Fleet, Shape};

/// Entries in the order of their keys, grouped by shape. The queue remembers since when each group
/// has fitted nowhere, so a pass examines only workers that rose since then. Within a pass capacity
/// only falls: a shape that failed need not be tried again.
#[derive(Debug, Clone)]
pub(super) struct WaitQueue<K> {
    groups: BTreeMap<Arc<Shape>, ShapeGroup<K>>,
    /// Shapes that have not failed on all workers yet, so that any worker may take them.
    fresh: BTreeSet<Arc<Shape>>,
    /// The fleet's stamp at the end of the last complete pass. A group that is not fresh fits only
    /// on workers that rose since then.
    seen: u64,
}

#[derive(Debug, Clone)]
struct ShapeGroup<K> {
    entries: BTreeSet<K>,
    /// The fleet's stamp when the shape last fitted nowhere. It is later than `seen` only after a
    /// pass that was broken off.
    stuck: u64,
}

impl<K> Default for WaitQueue<K> {
    fn default() -> Self {
        WaitQueue { groups: BTreeMap::new(), fresh: BTreeSet::new(), seen: 0 }
    }
}

impl<K: Ord + Copy> WaitQueue<K> {
    pub(super) fn insert(&mut self, shape: &Arc<Shape>, key: K) {
        if let Some(group) = self.groups.get_mut(shape) {
            group.entries.insert(key);
            return;
        }
        self.fresh.insert(Arc::clone(shape));
        self.groups.insert(Arc::clone(shape), ShapeGroup { entries: BTreeSet::from([key]), stuck: 0 });
    }

    pub(super) fn remove(&mut self, shape: &Arc<Shape>, key: K) {
        let Some(group) = self.groups.get_mut(shape) else { return };
        group.entries.remove(&key);
        if group.entries.is_empty() {
            self.groups.remove(shape);
            self.fresh.remove(shape);
        }
    }

    /// The first entry of a shape.
    pub(super) fn first(&self, shape: &Arc<Shape>) -> Option<K> {
        self.groups.get(shape).and_then(|group| group.entries.first().copied())
    }

    /// The shapes that a pass must try. Costs nothing if no worker rose and no shape is fresh.
    pub(super) fn to_try(&self, fleet: &Fleet) -> Vec<Arc<Shape>> {
        let mut shapes: Vec<Arc<Shape>> = self.fresh.iter().cloned().collect();
        if fleet.stamp > self.seen {
            let (cores, memory) = most_risen(fleet, self.seen);
            // Shapes are ordered by cores first.
            let affordable = self.groups.iter().take_while(|(shape, _)| shape.resources.cores <= cores);
            let retried = affordable.filter(|(shape, group)| {
                shape.resources.memory <= memory && group.stuck < fleet.stamp && !self.fresh.contains(*shape)
            });
            shapes.extend(retried.map(|(shape, _)| Arc::clone(shape)));
        }
        shapes
    }

    /// The stamp since which no worker can take the shape; `None` if any worker may.
    pub(super) fn stuck_since(&self, shape: &Arc<Shape>) -> Option<u64> {
        if self.fresh.contains(shape) {
            return None;
        }
        self.groups.get(shape).map(|group| group.stuck.max(self.seen))
    }

    /// Records that no worker can take the shape at present.
    pub(super) fn mark_stuck(&mut self, shape: &Arc<Shape>, fleet: &Fleet) {
        self.fresh.remove(shape);
        if let Some(group) = self.groups.get_mut(shape) {
            group.stuck = fleet.stamp;
        }
    }

    /// Ends a complete pass: every shape that was to be tried is stuck or has no entries left.
    pub(super) fn pass_is_whole(&mut self, fleet: &Fleet) {
        self.seen = fleet.stamp;
    }
}

/// The most cores and the most memory that any risen worker has free.
fn most_risen(fleet: &Fleet, since: u64) -> (u32, u64) {
    let freed = fleet.risen_after(since).filter_map(|worker| fleet.workers_by_uid.get(&worker));
    freed.fold((0, 0), |(cores, memory), capacity| {
        (cores.max(capacity.free_cores()), memory.max(capacity.free_memory()))
    })
}
