//! The outages of a stream that is opened again after each break.

use std::time::{Duration, Instant};

use muster_proto::errors::{may_succeed_later, retry_after};
use tonic::Status;

use crate::Backoff;

/// A stream that stayed open for this long was sound, even if it sent nothing: when it breaks, a
/// new outage begins.
const SOUND: Duration = Duration::from_secs(5);

/// The present outage of a stream, if there is one.
#[derive(Debug)]
pub struct RetryState {
    since: Option<Instant>,
    opened: Option<Instant>,
    backoff: Backoff,
    longest: Duration,
}

impl RetryState {
    /// No outage yet. An outage longer than `longest` ends the retries.
    pub fn new(longest: Duration) -> RetryState {
        RetryState { since: None, opened: None, backoff: Backoff::default(), longest }
    }

    /// Notes that the stream was opened.
    pub fn opened(&mut self) {
        self.opened = Some(Instant::now());
    }

    /// A message came through, so the outage is over.
    pub fn over(&mut self) {
        self.since = None;
        self.backoff.reset();
    }

    /// The stream broke, or ended without a status. Returns the wait before it is opened again, or
    /// the status if a retry is of no use or the outage is too long.
    pub fn broke(&mut self, status: Option<Status>) -> Result<Duration, Status> {
        if self.opened.take().is_some_and(|opened| opened.elapsed() > SOUND) {
            self.over();
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        let status = status.unwrap_or_else(|| Status::unavailable("the stream ended without a status"));
        if !may_succeed_later(&status) || since.elapsed() > self.longest {
            return Err(status);
        }
        Ok(self.backoff.next_wait(retry_after(&status)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_over_in_the_end_however_the_streams_end() {
        for status in [None, Some(Status::unavailable("broken"))] {
            let mut patient = RetryState::new(Duration::from_secs(3600));
            let mut impatient = RetryState::new(Duration::ZERO);
            assert!(patient.broke(status.clone()).is_ok() && patient.broke(status.clone()).is_ok());
            // The outage begins with the first break, and no longer outage is allowed.
            let _ = impatient.broke(status.clone());
            std::thread::sleep(Duration::from_millis(1));
            let error = impatient.broke(status).unwrap_err();
            assert_eq!(error.code(), tonic::Code::Unavailable);
        }
    }
}
