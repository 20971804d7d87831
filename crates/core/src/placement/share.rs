//! How many steps each worker gets. The result is computed directly, and equals that of handing out
//! one step at a time in turn.

/// Spread: one step to each worker in turn while it has room, until the budget is used up. Returns
/// the steps of each.
///
/// In turn, every worker gets the same number of steps until its room is full. So all workers are
/// filled up to one level, and the rest of the budget goes, one step each, to the first workers
/// with room above it.
pub(super) fn spread(rooms: &[u64], budget: u64) -> Vec<u64> {
    let level = level(rooms, budget);
    let mut steps: Vec<u64> = rooms.iter().map(|room| (*room).min(level)).collect();
    let mut left = budget.saturating_sub(total(rooms, level));
    for (step, room) in steps.iter_mut().zip(rooms) {
        if left > 0 && *step < *room {
            *step += 1;
            left -= 1;
        }
    }
    steps
}

/// Compact: the first worker gets as many steps as fit, then the next.
pub(super) fn compact(rooms: &[u64], budget: u64) -> Vec<u64> {
    let mut left = budget;
    let fill = |room: &u64| {
        let step = (*room).min(left);
        left -= step;
        step
    };
    rooms.iter().map(fill).collect()
}

/// The highest level up to which the budget fills all workers.
fn level(rooms: &[u64], budget: u64) -> u64 {
    let (mut low, mut high) = (0, rooms.iter().copied().max().unwrap_or(0));
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if total(rooms, middle) <= budget { low = middle } else { high = middle - 1 }
    }
    low
}

fn total(rooms: &[u64], level: u64) -> u64 {
    rooms.iter().fold(0, |sum, room| sum.saturating_add((*room).min(level)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one_at_a_time(rooms: &[u64], mut budget: u64) -> Vec<u64> {
        let mut steps = vec![0; rooms.len()];
        let mut before = u64::MAX;
        while budget != before {
            before = budget;
            for (step, room) in steps.iter_mut().zip(rooms) {
                if budget > 0 && *step < *room {
                    *step += 1;
                    budget -= 1;
                }
            }
        }
        steps
    }

    proptest! {
        #[test]
        fn spread_equals_going_round(rooms in prop::collection::vec(0u64..20, 0..12), budget in 0u64..150) {
            prop_assert_eq!(spread(&rooms, budget), one_at_a_time(&rooms, budget));
        }
    }

    #[test]
    fn budgets_without_end_fill_every_room() {
        assert_eq!(spread(&[3, 0, 7], u64::MAX), [3, 0, 7]);
        assert_eq!(compact(&[3, 0, 7], u64::MAX), [3, 0, 7]);
        assert_eq!(compact(&[3, 0, 7], 5), [3, 0, 2]);
    }
}
