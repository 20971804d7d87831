//! Workers in an order, searched for enough cores and memory without a visit to those that are
//! full.

use muster_types::WorkerUid;

/// A worker's position in the order: the number by which it is ordered, then its uid.
pub(super) type IndexKey = (u64, WorkerUid);

/// The direction of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Up,
    Down,
}

/// Amounts that are free, or must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Amounts {
    pub(super) cores: u32,
    pub(super) memory: u64,
}

impl Amounts {
    fn holds(self, request: Amounts) -> bool {
        self.cores >= request.cores && self.memory >= request.memory
    }

    fn most(self, other: Amounts) -> Amounts {
        Amounts { cores: self.cores.max(other.cores), memory: self.memory.max(other.memory) }
    }
}

/// A sorted list cut into blocks. Each block knows the largest amounts that any of its workers has
/// free, so a search skips a block of full workers with one comparison. Ten thousand workers are
/// about two hundred blocks.
#[derive(Debug, Clone, Default)]
pub(super) struct CapacityIndex {
    blocks: Vec<Block>,
}

/// Small enough to shift and to scan in well under a microsecond.
const BLOCK: usize = 64;

#[derive(Debug, Clone)]
struct Block {
    /// Never empty.
    entries: Vec<(IndexKey, Amounts)>,
    most: Amounts,
}

impl Block {
    fn new(entries: Vec<(IndexKey, Amounts)>) -> Block {
        let most = entries.iter().fold(Amounts::default(), |most, (_, free)| most.most(*free));
        Block { entries, most }
    }

    fn last(&self) -> Option<IndexKey> {
        self.entries.last().map(|(place, _)| *place)
    }
}

impl CapacityIndex {
    pub(super) fn insert(&mut self, place: IndexKey, free: Amounts) {
        // A place after the last one goes into the last block.
        let index = self.block_of(place).min(self.blocks.len().saturating_sub(1));
        let Some(block) = self.blocks.get_mut(index) else {
            self.blocks.push(Block::new(vec![(place, free)]));
            return;
        };
        let at = block.entries.partition_point(|(other, _)| *other < place);
        block.entries.insert(at, (place, free));
        block.most = block.most.most(free);
        if block.entries.len() > BLOCK {
            let upper = block.entries.split_off(BLOCK / 2);
            *block = Block::new(std::mem::take(&mut block.entries));
            self.blocks.insert(index + 1, Block::new(upper));
        }
    }

    pub(super) fn remove(&mut self, place: IndexKey) {
        let index = self.block_of(place);
        let Some(block) = self.blocks.get_mut(index) else { return };
        let Ok(at) = block.entries.binary_search_by_key(&place, |(other, _)| *other) else { return };
        block.entries.remove(at);
        if block.entries.is_empty() {
            self.blocks.remove(index);
        } else {
            *block = Block::new(std::mem::take(&mut block.entries));
        }
    }

    /// The first place beyond `after` that has the amounts free. Adds the number of examined
    /// entries to `examined`.
    pub(super) fn next(
        &self,
        direction: Direction,
        after: Option<IndexKey>,
        least: Amounts,
        examined: &mut u64,
    ) -> Option<IndexKey> {
        match direction {
            Direction::Up => self.next_up(after, least, examined),
            Direction::Down => self.next_down(after, least, examined),
        }
    }

    /// Every worker that has the amounts free, in order. Adds the number of examined entries to
    /// `examined`.
    pub(super) fn all(&self, least: Amounts, examined: &mut u64) -> Vec<WorkerUid> {
        let mut found = Vec::new();
        for block in &self.blocks {
            *examined += 1;
            if block.most.holds(least) {
                *examined += block.entries.len() as u64;
                let fitting = block.entries.iter().filter(|(_, free)| free.holds(least));
                found.extend(fitting.map(|((_, worker), _)| *worker));
            }
        }
        found
    }

    fn next_up(&self, after: Option<IndexKey>, least: Amounts, examined: &mut u64) -> Option<IndexKey> {
        let first = after.map_or(0, |after| self.block_of(after));
        self.blocks[first..].iter().find_map(|block| {
            let open = || block.entries.iter().filter(|(place, _)| after.is_none_or(|after| *place > after));
            first_fit(block, open(), least, examined)
        })
    }

    fn next_down(&self, after: Option<IndexKey>, least: Amounts, examined: &mut u64) -> Option<IndexKey> {
        let end = after.map_or(self.blocks.len(), |after| (self.block_of(after) + 1).min(self.blocks.len()));
        self.blocks[..end].iter().rev().find_map(|block| {
            let open = || block.entries.iter().rev().filter(|(place, _)| after.is_none_or(|after| *place < after));
            first_fit(block, open(), least, examined)
        })
    }

    /// Index of the block that contains the place or would contain it.
    fn block_of(&self, place: IndexKey) -> usize {
        self.blocks.partition_point(|block| block.last().is_some_and(|last| last < place))
    }
}

fn first_fit<'a>(
    block: &Block,
    mut entries: impl Iterator<Item = &'a (IndexKey, Amounts)>,
    least: Amounts,
    examined: &mut u64,
) -> Option<IndexKey> {
    *examined += 1;
    if !block.most.holds(least) {
        return None;
    }
    entries
        .find(|(_, free)| {
            *examined += 1;
            free.holds(least)
        })
        .map(|(place, _)| *place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(n: u64) -> IndexKey {
        (n % 7, WorkerUid(u128::from(n)))
    }

    fn free(n: u64) -> Amounts {
        Amounts { cores: (n % 5) as u32, memory: n % 11 }
    }

    #[test]
    fn a_walk_visits_what_fits_in_order_both_ways_while_places_come_and_go() {
        let mut order = CapacityIndex::default();
        let mut plain = std::collections::BTreeMap::new();
        for n in 0..1_000 {
            order.insert(place(n), free(n));
            plain.insert(place(n), free(n));
            if n % 3 == 0 {
                order.remove(place(n / 2));
                plain.remove(&place(n / 2));
            }
        }
        for least in [Amounts::default(), Amounts { cores: 3, memory: 6 }, Amounts { cores: 4, memory: 11 }] {
            let all: Vec<WorkerUid> = plain.iter().filter(|(_, f)| f.holds(least)).map(|(p, _)| p.1).collect();
            assert_eq!(order.all(least, &mut 0), all);
            let mut wanted: Vec<IndexKey> = plain.iter().filter(|(_, f)| f.holds(least)).map(|(p, _)| *p).collect();
            for direction in [Direction::Up, Direction::Down] {
                let mut found = Vec::new();
                while let Some(next) = order.next(direction, found.last().copied(), least, &mut 0) {
                    found.push(next);
                }
                assert_eq!(found, wanted, "{direction:?} {least:?}");
                wanted.reverse();
            }
        }
    }

    #[test]
    fn full_workers_cost_one_look_for_a_block_of_them() {
        let mut order = CapacityIndex::default();
        (0..1_000).for_each(|n| order.insert((n, WorkerUid(u128::from(n))), Amounts { cores: 0, memory: 1 }));
        let mut examined = 0;
        assert_eq!(order.next(Direction::Up, None, Amounts { cores: 1, memory: 1 }, &mut examined), None);
        assert!(examined <= 1_000 / (BLOCK as u64 / 2) + 1, "{examined} looks");
    }
}
