//! Waits between tries.

use std::time::Duration;

/// Waits that grow, with full jitter: callers that failed together do not come back together.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    tries: u32,
}

impl Backoff {
    /// Waits of at most `first`, doubling up to `longest`.
    pub fn new(first: Duration, longest: Duration) -> Backoff {
        Backoff { first, longest, tries: 0 }
    }

    /// The next wait: evenly between nothing and the present bound; at least half of what the server asks for.
    pub fn next_wait(&mut self, asked: Option<Duration>) -> Duration {
        let bound = self.first.saturating_mul(1 << self.tries.min(16)).min(self.longest);
        self.tries = self.tries.saturating_add(1);
        let wait = bound.mul_f64(fraction());
        match asked {
            // Bounded, so that a server cannot park its callers.
            Some(asked) => wait.max(asked.min(self.longest).mul_f64(0.5 + fraction() / 2.0)),
            None => wait,
        }
    }

    /// Something went well: begin anew.
    pub fn reset(&mut self) {
        self.tries = 0;
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff::new(Duration::from_millis(20), Duration::from_secs(2))
    }
}

/// A random number in [0, 1), of the random part of a fresh id.
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
    fn waits_differ() {
        let waits: std::collections::BTreeSet<_> = (0..32).map(|_| (fraction() * 1e9) as u64).collect();
        assert!(waits.len() > 16);
    }
}
