//! How long to wait before a part that died is started again.

use std::time::Duration;

/// The first delay, short enough that people see the part come back.
const FIRST: Duration = Duration::from_millis(500);
/// The longest delay, at which a part that cannot run costs almost nothing.
const LONGEST: Duration = Duration::from_secs(30);
/// A run of at least this length resets the delay.
const GOOD_RUN: Duration = Duration::from_secs(60);

/// Doubles with each death that follows a short run.
#[derive(Debug, Clone, Default)]
pub(crate) struct RestartBackoff {
    deaths: u32,
}

impl RestartBackoff {
    /// The delay after a run of this length.
    pub(crate) fn after(&mut self, ran: Duration) -> Duration {
        if ran >= GOOD_RUN {
            self.deaths = 0;
        }
        let delay = FIRST.saturating_mul(1 << self.deaths.min(16)).min(LONGEST);
        self.deaths = self.deaths.saturating_add(1);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_bound_and_begin_anew_after_a_good_run() {
        let mut backoff = RestartBackoff::default();
        let delays: Vec<_> = (0..8).map(|_| backoff.after(Duration::ZERO).as_millis()).collect();
        assert_eq!(delays, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
        assert_eq!(backoff.after(GOOD_RUN), FIRST);
    }
}
