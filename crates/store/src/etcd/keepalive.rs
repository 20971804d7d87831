//! Keeps a lease alive, on a connection of its own, and moves the deadline with each answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd_client::{LeaseKeepAliveStream, LeaseKeeper};
use muster_types::Time;

use super::connection::EtcdConnection;
use super::failure::{EtcdFailure, FailureKind};
use super::lease::LeadershipLease;
use crate::clock::boottime;

/// The times with which a lease is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct LeaseTiming {
    pub(super) lease: Duration,
    /// How long before the lease's end the deadline is.
    pub(super) margin: Duration,
}

/// The longest wait for an answer, however long the lease is: each member that still waits for
/// etcd's old leader costs this much, and the new leader answers in milliseconds.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

impl LeaseTiming {
    /// The time between keep-alives.
    pub(super) fn every(&self) -> Duration {
        self.lease / 6
    }

    /// How long to wait for an answer before another member is asked. Several waits fit into a
    /// lease: after the loss of its leader, etcd takes one to two seconds to elect another, and
    /// calls made meanwhile may wait for the old one.
    pub(super) fn answer_within(&self) -> Duration {
        (self.lease / 6).min(ANSWER_WITHIN)
    }

    /// The deadline of a lease that was made or renewed for `ttl` by a request sent at `sent`. It
    /// counts from the sending, because the server counts from the arrival, which is later.
    pub(super) fn until(&self, sent: Time, ttl: Duration) -> Time {
        let length = ttl.min(self.lease).saturating_sub(self.margin);
        Time(sent.0.saturating_add(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)))
    }
}

type KeepaliveStream = (LeaseKeeper, LeaseKeepAliveStream);

/// Runs until the term is over. It ends the term when the lease is gone, or when the deadline
/// passes without an answer.
pub(super) async fn keep(leadership: Arc<LeadershipLease>, mut connection: EtcdConnection, timing: LeaseTiming) {
    let mut stream = None;
    loop {
        let begun = Instant::now();
        let left = Duration::from_nanos(leadership.deadline.get().0.saturating_sub(boottime().0));
        let within = timing.answer_within().min(left);
        match send_keepalive(&mut connection, &mut stream, leadership.lease, within).await {
            Ok((sent, ttl)) if leadership.deadline.stands(boottime()) => {
                leadership.keeper.extend(timing.until(sent, ttl));
                tokio::time::sleep(timing.every().saturating_sub(begun.elapsed())).await;
            }
            // A late answer does not revive the term, because others may have acted upon its end.
            Ok(_) => {}
            Err(EtcdFailure { kind: FailureKind::LeaseGone, .. }) => {
                tracing::warn!(lease = format!("{:016x}", leadership.lease), "the lease in the store is gone");
                leadership.keeper.end();
            }
            Err(failure) => {
                tracing::debug!(member = connection.name(), error = %failure, "a keep-alive failed");
                tokio::time::sleep(Duration::from_millis(50).min(left)).await;
            }
        }
        if !leadership.deadline.stands(boottime()) {
            if !leadership.is_over() {
                tracing::warn!(lease = format!("{:016x}", leadership.lease), "the store was not heard in time");
            }
            leadership.keeper.end();
            return;
        }
    }
}

/// Sends one keep-alive; returns when it was sent, and for how long the lease is renewed. After a
/// failure the next one goes to another member on a new stream, so that no late answer is taken for
/// the answer to a later request.
async fn send_keepalive(
    connection: &mut EtcdConnection,
    stream: &mut Option<KeepaliveStream>,
    lease: i64,
    within: Duration,
) -> Result<(Time, Duration), EtcdFailure> {
    let (mut keeper, mut answers) = match stream.take() {
        Some(stream) => stream,
        // `keep_alive` sends one itself already, and hides for how long it renewed the lease.
        None => connection.once(within, async |client| client.lease_client().keep_alive(lease).await).await?,
    };
    let sent = boottime();
    let answer = async {
        keeper.keep_alive().await.map_err(|_| EtcdFailure::unanswered("the stream was closed"))?;
        answers.message().await?.ok_or_else(|| EtcdFailure::unanswered("the stream was closed"))
    };
    let answer = tokio::time::timeout(within, answer).await;
    let answer = answer.unwrap_or_else(|_| Err(EtcdFailure::unanswered("no answer in time")));
    let answer = answer.inspect_err(|_| connection.rotate())?;
    *stream = Some((keeper, answers));
    match u64::try_from(answer.ttl()) {
        Ok(0) | Err(_) => Err(EtcdFailure::new(FailureKind::LeaseGone, "the lease is gone")),
        Ok(seconds) => Ok((sent, Duration::from_secs(seconds))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_counts_from_the_sending_and_comes_before_the_end() {
        let timing = LeaseTiming { lease: Duration::from_secs(3), margin: Duration::from_millis(375) };
        assert_eq!(timing.until(Time(1_000_000_000), Duration::from_secs(3)), Time(3_625_000_000));
        // More or less was granted than requested; the deadline never exceeds the requested length.
        assert_eq!(timing.until(Time(0), Duration::from_secs(2)), Time(1_625_000_000));
        assert_eq!(timing.until(Time(0), Duration::from_secs(9)), Time(2_625_000_000));
    }
}
