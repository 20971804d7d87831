//! Run times, in buckets, for a median in constant time and memory.

use std::time::Duration;

/// Buckets per doubling: a run time is known within an eighth.
const STEPS: u64 = 8;
const BUCKETS: usize = 64 * STEPS as usize;

/// How many tasks of a stage ran how long.
#[derive(Debug)]
pub(crate) struct RunTimes {
    counts: Box<[u32]>,
    total: u64,
    /// The bucket of the median, and how many are in the buckets before it.
    median: usize,
    below: u64,
}

impl RunTimes {
    pub(crate) fn new() -> RunTimes {
        RunTimes { counts: vec![0; BUCKETS].into(), total: 0, median: 0, below: 0 }
    }

    /// Adds a run time. The median moves by as many buckets as the new one makes it move, which are
    /// few on the average.
    pub(crate) fn add(&mut self, ran: Duration) {
        let bucket = bucket(u64::try_from(ran.as_nanos()).unwrap_or(u64::MAX));
        self.counts[bucket] = self.counts[bucket].saturating_add(1);
        self.total += 1;
        if bucket < self.median {
            self.below += 1;
        }
        let half = self.total.div_ceil(2);
        while self.below >= half {
            self.median -= 1;
            self.below -= u64::from(self.counts[self.median]);
        }
        while self.below + u64::from(self.counts[self.median]) < half {
            self.below += u64::from(self.counts[self.median]);
            self.median += 1;
        }
    }

    /// The upper end of the bucket of the median; `None` before the first.
    pub(crate) fn median(&self) -> Option<Duration> {
        (self.total > 0).then(|| Duration::from_nanos(upper(self.median)))
    }
}

fn bucket(nanos: u64) -> usize {
    let nanos = nanos.max(1);
    let doublings = u64::from(nanos.ilog2());
    // The three bits below the highest one.
    let step = if doublings >= 3 { (nanos >> (doublings - 3)) & 7 } else { (nanos << (3 - doublings)) & 7 };
    (doublings * STEPS + step) as usize
}

fn upper(bucket: usize) -> u64 {
    let (doublings, step) = (bucket as u64 / STEPS, bucket as u64 % STEPS);
    let upper = (u128::from(STEPS + step + 1) << doublings) / u128::from(STEPS);
    u64::try_from(upper).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_known_within_an_eighth() {
        let mut state = 1u64;
        let (mut times, mut all) = (RunTimes::new(), Vec::new());
        assert_eq!(times.median(), None);
        for _ in 0..2_000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let nanos = 1 + (state % 1_000_000) * (state % 977);
            times.add(Duration::from_nanos(nanos));
            all.push(nanos);
            all.sort_unstable();
            let exact = all[(all.len() - 1) / 2] as f64;
            let found = times.median().expect("there is one").as_nanos() as f64;
            assert!(found >= exact && found <= exact * 1.126 + 1.0, "{found} for {exact}");
        }
    }

    #[test]
    fn the_ends_of_the_range_have_buckets() {
        let mut times = RunTimes::new();
        [Duration::ZERO, Duration::MAX, Duration::MAX].into_iter().for_each(|ran| times.add(ran));
        assert_eq!(times.median(), Some(Duration::from_nanos(u64::MAX)));
    }
}
