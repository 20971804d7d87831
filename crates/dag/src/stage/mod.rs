//! Stages: the graph, and what is kept of each.

mod failure;
mod lifecycle;
pub(crate) mod pending;
mod rollback;
pub(crate) mod tasks;

use std::collections::{BTreeMap, BTreeSet};

use muster_types::{ProfileId, Time};
use slotmap::SlotMap;

use crate::exclusion::StageExclusion;
use crate::ids::{AttemptSlot, LocationIndex, PoolIndex, StageSlot};
use crate::pool::QueueKey;
use crate::speculation::StageSpeculation;
use crate::{JobId, Locality, StageId, StageKind, TaskAttemptId, TaskFailure, TaskId};

use pending::PendingTasks;
use tasks::TaskRecord;

/// Where a stage stands.
///
/// ```text
///  Idle ── a job needs it ──▶ Waiting ── its parents are complete ──▶ Active
///   ▲                          ▲   ▲                                  │ │ │
///   │ no job needs it any more │   └── a parent has lost an output ───┘ │ │
///   │ (from any state)         │                                        │ │
///   │              delay over  │        a fetch or a barrier failed     │ │
///   │                     Resubmitting ◀────────────────────────────────┘ │
///   │                                                                     │
///   └── an output is lost ── Complete ◀── the last task succeeds ─────────┘
///                                         (of any attempt, in any state)
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StagePhase {
    /// No job needs it, and it is not complete.
    Idle,
    /// It waits for its parents.
    Waiting,
    /// Its tasks are launched.
    Active,
    /// Failures are gathered before it runs again.
    Resubmitting,
    /// All its tasks have succeeded.
    Complete,
}

/// What the tasks of a stage take of an executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TaskShape {
    pub(crate) profile: ProfileId,
    pub(crate) cores: u32,
}

/// What was asked for, of what does not change.
#[derive(Debug)]
pub(crate) struct StageTerms {
    pub(crate) id: StageId,
    pub(crate) kind: StageKind,
    pub(crate) shape: TaskShape,
    pub(crate) barrier: bool,
    pub(crate) deterministic: bool,
    pub(crate) parents: Vec<StageSlot>,
}

/// The attempts of a stage as a whole.
#[derive(Debug, Default)]
pub(crate) struct StageAttempts {
    /// The number of the present one; `None` before the first.
    pub(crate) number: Option<u32>,
    /// How many have failed since the stage was last complete.
    pub(crate) failed_in_a_row: u8,
    /// The newest that has failed.
    pub(crate) failed: Option<u32>,
    /// The last failure of a task, for people.
    pub(crate) last_failure: Option<Box<TaskFailure>>,
    /// Looks of a barrier stage that found too few executors.
    pub(crate) barrier_tries: u32,
    /// The task that every executor is excluded for, and since when.
    pub(crate) unschedulable: Option<(u32, Time)>,
}

/// The place of a stage in its pool.
#[derive(Debug)]
pub(crate) struct QueuePlace {
    pub(crate) pool: PoolIndex,
    pub(crate) key: QueueKey,
    pub(crate) is_listed: bool,
    /// The worst level at which a task may be launched.
    pub(crate) level: Locality,
    /// Since when the stage waits at that level.
    pub(crate) level_since: Time,
    /// Whether a timer looks at the level.
    pub(crate) is_timed: bool,
}

/// A stage.
#[derive(Debug)]
pub(crate) struct StageNode {
    pub(crate) terms: StageTerms,
    pub(crate) phase: StagePhase,
    /// Stages that read its outputs.
    pub(crate) children: BTreeSet<StageSlot>,
    /// Jobs that need it.
    pub(crate) jobs: BTreeSet<JobId>,
    /// Whether its caller has no more use for it.
    pub(crate) is_released: bool,
    pub(crate) attempts: StageAttempts,
    pub(crate) records: Vec<TaskRecord>,
    pub(crate) done: u32,
    pub(crate) pending: PendingTasks,
    /// Where outputs of it are, or were.
    pub(crate) locations: BTreeSet<LocationIndex>,
    /// The attempts of tasks that run, in no order.
    pub(crate) running: Vec<AttemptSlot>,
    /// The average run time of a task, in nanoseconds; 0 before the first has succeeded.
    pub(crate) mean_run: u64,
    pub(crate) place: QueuePlace,
    /// The attempts that may commit, by partition.
    pub(crate) committers: BTreeMap<u32, TaskAttemptId>,
    /// Made by the first failure.
    pub(crate) exclusion: Option<Box<StageExclusion>>,
    pub(crate) speculation: Option<Box<StageSpeculation>>,
}

impl StageNode {
    pub(crate) fn is_complete(&self) -> bool {
        self.done as usize == self.records.len()
    }

    pub(crate) fn tasks(&self) -> u32 {
        u32::try_from(self.records.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn task(&self, partition: u32) -> TaskId {
        TaskId { stage: self.terms.id, partition }
    }

    /// Whether there is something to launch, as far as the stage itself is concerned.
    pub(crate) fn has_work(&self) -> bool {
        self.phase == StagePhase::Active
            && (self.pending.count() > 0 || self.speculation.as_ref().is_some_and(|copies| !copies.queue.is_empty()))
    }

    /// Whether a failed attempt must not count, because a later one follows already.
    pub(crate) fn is_older(&self, stage_attempt: u32) -> bool {
        self.attempts.number.is_some_and(|number| stage_attempt < number)
            || self.attempts.failed.is_some_and(|failed| stage_attempt <= failed)
    }

    /// How many tasks may wait for one core of an executor.
    pub(crate) fn ahead(&self, ahead: u64, most: u32) -> u64 {
        if self.mean_run == 0 || self.terms.barrier { 0 } else { (ahead / self.mean_run).min(u64::from(most)) }
    }

    /// Takes a run time into the average.
    pub(crate) fn learn_run_time(&mut self, nanos: u64) {
        let nanos = nanos.max(1);
        self.mean_run = if self.mean_run == 0 { nanos } else { (self.mean_run / 8 * 7 + nanos / 8).max(1) };
    }
}

/// All stages that are known.
#[derive(Debug, Default)]
pub(crate) struct StageGraph {
    nodes: SlotMap<StageSlot, StageNode>,
    by_id: BTreeMap<StageId, StageSlot>,
}

impl StageGraph {
    pub(crate) fn insert(&mut self, node: StageNode) -> StageSlot {
        let (id, parents) = (node.terms.id, node.terms.parents.clone());
        let slot = self.nodes.insert(node);
        self.by_id.insert(id, slot);
        for parent in parents {
            if let Some(parent) = self.nodes.get_mut(parent) {
                parent.children.insert(slot);
            }
        }
        slot
    }

    /// Removes a stage, and returns it.
    pub(crate) fn remove(&mut self, slot: StageSlot) -> Option<StageNode> {
        let node = self.nodes.remove(slot)?;
        self.by_id.remove(&node.terms.id);
        for parent in &node.terms.parents {
            if let Some(parent) = self.nodes.get_mut(*parent) {
                parent.children.remove(&slot);
            }
        }
        Some(node)
    }

    pub(crate) fn get(&self, slot: StageSlot) -> Option<&StageNode> {
        self.nodes.get(slot)
    }

    pub(crate) fn get_mut(&mut self, slot: StageSlot) -> Option<&mut StageNode> {
        self.nodes.get_mut(slot)
    }

    pub(crate) fn find(&self, id: StageId) -> Option<StageSlot> {
        self.by_id.get(&id).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (StageSlot, &StageNode)> {
        self.nodes.iter()
    }

    /// Whether every parent of a stage is complete.
    pub(crate) fn parents_complete(&self, node: &StageNode) -> bool {
        node.terms.parents.iter().all(|parent| self.get(*parent).is_some_and(StageNode::is_complete))
    }
}
