//! The workers of one placement pass, the best first, and those that one shape has yet to try.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use muster_types::WorkerUid;

use super::Fleet;

/// How good a worker is for the next driver: first whether launches succeed there; then, if drivers
/// are spread, its number of free cores.
type Score = (bool, u32);

/// The workers of a pass in the order in which drivers try them.
///
/// Within a pass capacity only falls, and so do scores. A worker whose score has fallen since the
/// pass began is therefore moved back in the order.
#[derive(Debug)]
pub(super) struct Candidates {
    /// The best first, with the score at the beginning of the pass.
    workers: Vec<(Score, WorkerUid)>,
    spread: bool,
    /// Built on first use, because most passes do not need it.
    positions: Option<BTreeMap<WorkerUid, usize>>,
}

impl Candidates {
    /// With `spread`, workers with the most free cores come first. Among equals, those after
    /// `last`, which was given the last driver, come first, so that equals take turns. Without
    /// `spread` the order is by uid. In both cases workers on which launches fail come last.
    pub(super) fn new(fleet: &Fleet, workers: Vec<WorkerUid>, spread: bool, last: Option<WorkerUid>) -> Candidates {
        let score = |worker: WorkerUid| score(fleet, worker, spread);
        let mut workers: Vec<_> = workers.into_iter().map(|worker| (score(worker), worker)).collect();
        let is_behind = |worker: WorkerUid| !spread || last.is_none_or(|last| worker > last);
        workers.sort_unstable_by_key(|(score, worker)| (Reverse(*score), !is_behind(*worker), *worker));
        Candidates { workers, spread, positions: None }
    }

    pub(super) fn worker(&self, position: usize) -> Option<WorkerUid> {
        self.workers.get(position).map(|(_, worker)| *worker)
    }

    /// A shape has all workers to try.
    pub(super) fn all(&self) -> Remaining {
        Remaining { unseen: 0..self.workers.len(), seen: BinaryHeap::new() }
    }

    /// A shape has only these workers to try.
    pub(super) fn only(&mut self, only: impl Iterator<Item = WorkerUid>) -> Remaining {
        let workers = &self.workers;
        let number = || workers.iter().enumerate().map(|(position, (_, worker))| (*worker, position)).collect();
        let positions = self.positions.get_or_insert_with(number);
        let found = only.filter_map(|worker| positions.get(&worker).copied());
        Remaining { unseen: 0..0, seen: found.map(|position| (workers[position].0, Reverse(position))).collect() }
    }

    fn score_now(&self, fleet: &Fleet, position: usize) -> Score {
        self.worker(position).map_or((false, 0), |worker| score(fleet, worker, self.spread))
    }
}

fn score(fleet: &Fleet, worker: WorkerUid, spread: bool) -> Score {
    (!fleet.is_failing(worker), if spread { fleet.free_cores(worker) } else { 0 })
}

/// Positions that one shape has yet to try in this pass, the best first. A worker that did not fit
/// is not tried again, since capacity only falls within a pass.
#[derive(Debug)]
pub(super) struct Remaining {
    /// Positions that this shape has not reached. Their scores are those of the beginning of the
    /// pass, or lower.
    unseen: std::ops::Range<usize>,
    /// Positions that it has reached, with their scores at that time.
    seen: BinaryHeap<(Score, Reverse<usize>)>,
}

impl Remaining {
    /// Takes out the best. The caller returns it with [`Remaining::put_back`] if it may be tried
    /// again.
    pub(super) fn take_best(&mut self, fleet: &Fleet, candidates: &Candidates) -> Option<usize> {
        loop {
            let unseen = self.unseen.clone().next().map(|at| (candidates.workers[at].0, Reverse(at)));
            let best = if unseen >= self.seen.peek().copied() {
                self.unseen.next();
                unseen?
            } else {
                self.seen.pop()?
            };
            let (score, Reverse(position)) = best;
            let now = candidates.score_now(fleet, position);
            if now == score {
                return Some(position);
            }
            self.seen.push((now, Reverse(position)));
        }
    }

    pub(super) fn put_back(&mut self, fleet: &Fleet, candidates: &Candidates, position: usize) {
        self.seen.push((candidates.score_now(fleet, position), Reverse(position)));
    }
}
