//! What a stream that is opened again and again remembers of its breaks.

use std::time::{Duration, Instant};

use muster_proto::errors::{may_succeed_later, retry_after};
use tonic::Status;

use crate::Backoff;

/// A stream that stood this long was sound, even if it said nothing: its break begins a new outage.
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
    /// None so far. One that lasts longer than `longest` is given up.
    pub fn new(longest: Duration) -> RetryState {
        RetryState { since: None, opened: None, backoff: Backoff::default(), longest }
    }

    /// The stream is open.
    pub fn opened(&mut self) {
        self.opened = Some(Instant::now());
    }

    /// Something came through: the outage is over.
    pub fn over(&mut self) {
        self.since = None;
        self.backoff.reset();
    }

    /// The stream broke (or ended, without a status): how long to wait before it is opened anew, or
    /// the status when that is of no use.
    pub fn broke(&mut self, status: Option<Status>) -> Result<Duration, Status> {
        if self.opened.take().is_some_and(|opened| opened.elapsed() > SOUND) {
            self.over();
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        let asked = status.as_ref().and_then(retry_after);
        match status {
            Some(status) if !may_succeed_later(&status) || since.elapsed() > self.longest => Err(status),
            Some(_) | None => Ok(self.backoff.next_wait(asked)),
        }
    }
}
