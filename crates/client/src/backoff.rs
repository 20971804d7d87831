//! Waits between tries.

use std::time::Duration;

/// The longest wait during the first [`BRISK_TRIES`] tries. These take about a second in all; by
/// then a dead leader has a successor. A longer outage takes longer to repair.
const BRISK: Duration = Duration::from_millis(100);
const BRISK_TRIES: u32 = 20;

/// Waits that grow, with full jitter: callers that failed together do not come back together.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    tries: u32,
}

impl Backoff {
    /// The first wait is at most `first`. The bound doubles up to `longest`, but stays at 100 ms or
    /// less for about a second.
    pub fn new(first: Duration, longest: Duration) -> Backoff {
        Backoff { first, longest, tries: 0 }
    }

    /// The next wait: random between zero and the present bound, and at least half of the wait that
    /// the server asks for.
    pub fn next_wait(&mut self, asked: Option<Duration>) -> Duration {
        let bound = self.bound();
        self.tries = self.tries.saturating_add(1);
        let wait = bound.mul_f64(fraction());
        match asked {
            // The bound keeps a server from parking its callers.
            Some(asked) => wait.max(asked.min(self.longest).mul_f64(0.5 + fraction() / 2.0)),
            None => wait,
        }
    }

    fn bound(&self) -> Duration {
        let doubled = |first: Duration, times: u32| first.saturating_mul(1 << times.min(16)).min(self.longest);
        match self.tries.checked_sub(BRISK_TRIES) {
            None => doubled(self.first, self.tries).min(BRISK),
            Some(late) => doubled(BRISK, late + 1),
        }
    }

    /// Starts again with the shortest wait, after a success.
    pub fn reset(&mut self) {
        self.tries = 0;
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff::new(Duration::from_millis(20), Duration::from_secs(2))
    }
}

/// A random number in [0, 1), taken from the random part of a new uuid.
fn fraction() -> f64 {
    let bits = uuid::Uuid::now_v7().as_u128() as u32;
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_within_their_bounds() {
        let longest = Duration::from_millis(100);
        let mut backoff = Backoff::new(Duration::from_millis(10), longest);
        for bound in [10, 20, 40, 80, 100, 100] {
            assert!(backoff.next_wait(None) <= Duration::from_millis(bound));
        }
        let asked = Duration::from_millis(60);
        assert!((asked / 2..=longest).contains(&backoff.next_wait(Some(asked))));
        assert!(backoff.next_wait(Some(Duration::from_secs(3600))) <= longest);
    }

    #[test]
    fn waits_stay_short_while_a_leader_may_be_found_and_grow_after_that() {
        let mut backoff = Backoff::default();
        let bounds: Vec<_> = (0..26)
            .map(|_| {
                let bound = backoff.bound().as_millis();
                backoff.next_wait(None);
                bound
            })
            .collect();
        assert_eq!(bounds[..4], [20, 40, 80, 100]);
        assert_eq!(bounds[19..], [100, 200, 400, 800, 1600, 2000, 2000]);
    }

    #[test]
    fn waits_differ() {
        let waits: std::collections::BTreeSet<_> = (0..32).map(|_| (fraction() * 1e9) as u64).collect();
        assert!(waits.len() > 16);
    }
}
