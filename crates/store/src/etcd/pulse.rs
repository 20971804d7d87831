//! Keeps a lease alive, on a connection of its own, and moves the deadline with each answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd_client::{LeaseKeepAliveStream, LeaseKeeper};
use muster_types::Time;

use super::failure::{Failure, Kind};
use super::line::Line;
use super::seat::Seat;
use crate::clock::boottime;

/// How a lease is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rhythm {
    pub(super) lease: Duration,
    /// By how much the deadline comes before the lease's end.
    pub(super) margin: Duration,
}

/// However long the lease is: each member that waits for the old leader costs as much, and the new one answers in milliseconds.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

impl Rhythm {
    /// Between keep-alives.
    pub(super) fn every(&self) -> Duration {
        self.lease / 6
    }

    /// For an answer, before another member is asked. Several fit into a lease: after the loss of its leader an etcd is busy for one to
    /// two seconds choosing another, and what was asked meanwhile may wait for the old one.
    pub(super) fn answer_within(&self) -> Duration {
        (self.lease / 6).min(ANSWER_WITHIN)
    }

    /// Until when a lease stands that was made or renewed for `ttl` by something sent at `sent`. From the sending: the server counts
    /// from when it arrived, which is later.
    pub(super) fn until(&self, sent: Time, ttl: Duration) -> Time {
        let length = ttl.min(self.lease).saturating_sub(self.margin);
        Time(sent.0.saturating_add(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)))
    }
}

type Stream = (LeaseKeeper, LeaseKeepAliveStream);

/// Runs until the seat is over; ends it when the lease is gone, or nothing was heard for as long as it surely stands.
pub(super) async fn keep(seat: Arc<Seat>, mut line: Line, rhythm: Rhythm) {
    let mut stream = None;
    loop {
        let begun = Instant::now();
        let left = Duration::from_nanos(seat.deadline.get().0.saturating_sub(boottime().0));
        let within = rhythm.answer_within().min(left);
        match beat(&mut line, &mut stream, seat.lease, within).await {
            Ok((sent, ttl)) if seat.deadline.stands(boottime()) => {
                seat.keeper.extend(rhythm.until(sent, ttl));
                tokio::time::sleep(rhythm.every().saturating_sub(begun.elapsed())).await;
            }
            // An answer that came too late revives nothing: others may have acted upon the end.
            Ok(_) => {}
            Err(Failure { kind: Kind::LeaseGone, .. }) => {
                tracing::warn!(lease = format!("{:016x}", seat.lease), "the lease in the store is gone");
                seat.keeper.end();
            }
            Err(failure) => {
                tracing::debug!(member = line.name(), error = %failure, "a keep-alive failed");
                tokio::time::sleep(Duration::from_millis(50).min(left)).await;
            }
        }
        if !seat.deadline.stands(boottime()) {
            if !seat.is_over() {
                tracing::warn!(lease = format!("{:016x}", seat.lease), "the store was not heard in time");
            }
            seat.keeper.end();
            return;
        }
    }
}

/// One keep-alive and its answer: when it was sent, and for how long the lease is renewed. After a failure the next goes to another
/// member, on a new stream: no late answer is taken for one to a later question.
async fn beat(
    line: &mut Line,
    stream: &mut Option<Stream>,
    lease: i64,
    within: Duration,
) -> Result<(Time, Duration), Failure> {
    let (mut keeper, mut answers) = match stream.take() {
        Some(stream) => stream,
        // This asks once already, and keeps to itself for how long the lease was renewed.
        None => line.once(within, async |client| client.lease_client().keep_alive(lease).await).await?,
    };
    let sent = boottime();
    let answer = async {
        keeper.keep_alive().await.map_err(|_| Failure::unanswered("the stream was closed"))?;
        answers.message().await?.ok_or_else(|| Failure::unanswered("the stream was closed"))
    };
    let answer = tokio::time::timeout(within, answer).await;
    let answer = answer.unwrap_or_else(|_| Err(Failure::unanswered("no answer in time")));
    let answer = answer.inspect_err(|_| line.rotate())?;
    *stream = Some((keeper, answers));
    match u64::try_from(answer.ttl()) {
        Ok(0) | Err(_) => Err(Failure::new(Kind::LeaseGone, "the lease is gone")),
        Ok(seconds) => Ok((sent, Duration::from_secs(seconds))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_counts_from_the_sending_and_comes_before_the_end() {
        let rhythm = Rhythm { lease: Duration::from_secs(3), margin: Duration::from_millis(375) };
        assert_eq!(rhythm.until(Time(1_000_000_000), Duration::from_secs(3)), Time(3_625_000_000));
        // Less was granted than was asked for, or more: never more than was asked for.
        assert_eq!(rhythm.until(Time(0), Duration::from_secs(2)), Time(1_625_000_000));
        assert_eq!(rhythm.until(Time(0), Duration::from_secs(9)), Time(2_625_000_000));
    }
}
