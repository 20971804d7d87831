//! The workers of one pass in a circle, and what one shape still has to try of it.

use std::collections::{BTreeMap, BTreeSet};

use muster_types::WorkerUid;

use crate::Entropy;

/// The workers of a pass in the order in which drivers go over them.
#[derive(Debug)]
pub(super) struct Candidates {
    workers: Vec<WorkerUid>,
    /// Made when first asked for: most passes never ask.
    positions: Option<BTreeMap<WorkerUid, usize>>,
}

impl Candidates {
    /// In the order given, or shuffled. Shuffling takes one number of the entropy, whatever the
    /// size.
    pub(super) fn new(mut workers: Vec<WorkerUid>, shuffle: Option<&mut dyn Entropy>) -> Candidates {
        if let Some(entropy) = shuffle.filter(|_| workers.len() > 1) {
            shuffle_by(&mut workers, entropy.next());
        }
        Candidates { workers, positions: None }
    }

    pub(super) fn worker(&self, position: usize) -> Option<WorkerUid> {
        self.workers.get(position).copied()
    }

    pub(super) fn after(&self, position: usize) -> usize {
        if position + 1 < self.workers.len() { position + 1 } else { 0 }
    }

    /// All of them are to be tried.
    pub(super) fn all(&self) -> Remaining {
        Remaining::All { size: self.workers.len(), skips: BTreeMap::new() }
    }

    /// Only these are to be tried.
    pub(super) fn only(&mut self, only: impl Iterator<Item = WorkerUid>) -> Remaining {
        let workers = &self.workers;
        let number = || workers.iter().enumerate().map(|(position, worker)| (*worker, position)).collect();
        let positions = self.positions.get_or_insert_with(number);
        Remaining::Only(only.filter_map(|worker| positions.get(&worker).copied()).collect())
    }
}

/// Positions that one shape has yet to try in this pass. One that did not fit never will: capacity
/// only falls within a pass.
#[derive(Debug)]
pub(super) enum Remaining {
    /// All but those that lead on to a later position.
    All { size: usize, skips: BTreeMap<usize, usize> },
    /// These.
    Only(BTreeSet<usize>),
}

impl Remaining {
    /// The next to try, from a position on and round to it.
    pub(super) fn next_from(&mut self, from: usize) -> Option<usize> {
        match self {
            Remaining::Only(left) => left.range(from..).next().or_else(|| left.first()).copied(),
            Remaining::All { size, skips } => {
                let found = follow(skips, from);
                let found = if found < *size { found } else { follow(skips, 0) };
                (found < *size).then_some(found)
            }
        }
    }

    pub(super) fn skip(&mut self, position: usize) {
        match self {
            Remaining::Only(left) => {
                left.remove(&position);
            }
            Remaining::All { skips, .. } => {
                skips.insert(position, position + 1);
            }
        }
    }
}

/// The first position from `from` on that is not skipped; shortens the way for the next that comes.
fn follow(skips: &mut BTreeMap<usize, usize>, from: usize) -> usize {
    let mut end = from;
    while let Some(next) = skips.get(&end) {
        end = *next;
    }
    let mut passed = from;
    while passed < end {
        match skips.insert(passed, end) {
            Some(next) => passed = next,
            None => break,
        }
    }
    end
}

/// Fisher-Yates, driven by a generator that one number seeds: the entropy's source may be slow, and
/// in tests it counts.
fn shuffle_by(workers: &mut [WorkerUid], seed: u128) {
    let mut state = (seed ^ (seed >> 64)) as u64;
    for last in (1..workers.len()).rev() {
        // The high half of a product is uniform up to a bias of size/2^64.
        let chosen = (u128::from(splitmix(&mut state)) * (last as u128 + 1)) >> 64;
        workers.swap(last, chosen as usize);
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): well mixed even from seeds that differ by one.
fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counter(u128);

    impl Entropy for Counter {
        fn next(&mut self) -> u128 {
            self.0 += 1;
            self.0
        }
    }

    fn workers(count: u128) -> Vec<WorkerUid> {
        (0..count).map(WorkerUid).collect()
    }

    #[test]
    fn struck_positions_are_passed_over_and_the_way_goes_round() {
        let mut candidates = Candidates::new(workers(5), None);
        for mut remaining in [candidates.all(), candidates.only((0..5).map(WorkerUid))] {
            assert_eq!(remaining.next_from(3), Some(3));
            for struck in [3, 4, 1] {
                remaining.skip(struck);
            }
            assert_eq!(remaining.next_from(3), Some(0));
            assert_eq!(remaining.next_from(1), Some(2));
            remaining.skip(0);
            assert_eq!(remaining.next_from(3), Some(2));
            remaining.skip(2);
            assert_eq!(remaining.next_from(0), None);
        }
    }

    #[test]
    fn every_worker_comes_first_about_as_often_even_when_the_entropy_only_counts() {
        let mut entropy = Counter(0);
        let mut firsts = [0u32; 10];
        for _ in 0..10_000 {
            let first = Candidates::new(workers(10), Some(&mut entropy)).worker(0).expect("ten workers");
            firsts[first.0 as usize] += 1;
        }
        // Mean 1,000, deviation 30: seven deviations.
        assert!(firsts.iter().all(|count| (790..1_210).contains(count)), "{firsts:?}");
    }
}
