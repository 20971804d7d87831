//! Compaction: etcd keeps every version of every key until it is told to drop them. The leader
//! tells it, so that its size stays that of the records plus about a minute of changes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use etcd_client::ResponseHeader;

use super::check::CALL_WITHIN;
use super::connection::{ClientHandle, EtcdConnection};
use super::keys::{KeyKind, Keys};

/// The time between reads of the present revision.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// Younger versions stay: a standby whose watch breaks resumes from them, and a load in pages reads
/// one revision for that long.
const KEEP: Duration = Duration::from_secs(60);
/// A compaction costs etcd a pass over its index, so it is not done more often than this, unless
/// much was written.
const FORGET_EVERY: Duration = Duration::from_secs(300);
const MUCH: i64 = 10_000;

/// Earlier reads, which tell the age of a revision.
#[derive(Debug, Default)]
struct RevisionHistory {
    seen: VecDeque<(Instant, i64)>,
    forgotten: Option<(Instant, i64)>,
}

impl RevisionHistory {
    /// Adds the present revision; returns the revision up to which etcd may compact now, if it is
    /// time.
    fn look(&mut self, now: Instant, revision: i64) -> Option<i64> {
        self.seen.push_back((now, revision));
        let (began, from) = *self.forgotten.get_or_insert((now, revision));
        let mut old = None;
        while let Some((when, at)) = self.seen.front().copied()
            && now.duration_since(when) >= KEEP
        {
            old = Some(at);
            // The newest old read stays until there is a newer one, because its revision is the
            // next limit.
            match self.seen.get(1) {
                Some((next, _)) if now.duration_since(*next) >= KEEP => self.seen.pop_front(),
                _ => break,
            };
        }
        let old = old.filter(|old| *old > from)?;
        if now.duration_since(began) < FORGET_EVERY && old - from < MUCH {
            return None;
        }
        self.forgotten = Some((now, old));
        Some(old)
    }
}

/// Compacts the store for as long as a term lasts.
pub(super) async fn keep(mut connection: EtcdConnection, keys: Keys) {
    let mut history = RevisionHistory::default();
    loop {
        let key = keys.bytes(KeyKind::Head);
        let ask = async |client: ClientHandle| client.kv_client().get(key, None).await;
        if let Ok(answer) = connection.once(CALL_WITHIN, ask).await {
            let revision = answer.header().map_or(0, ResponseHeader::revision);
            if let Some(old) = history.look(Instant::now(), revision) {
                forget(&mut connection, old).await;
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn forget(connection: &mut EtcdConnection, revision: i64) {
    let compact = async |client: ClientHandle| client.kv_client().compact(revision, None).await;
    match connection.once(CALL_WITHIN, compact).await {
        Ok(_) => tracing::debug!(revision, "the store forgot its older versions"),
        // Another master may have compacted it; otherwise the next attempt follows.
        Err(error) => tracing::debug!(revision, %error, "the store did not forget its older versions"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_younger_than_a_minute_is_never_forgotten() {
        let (mut history, begin) = (RevisionHistory::default(), Instant::now());
        let mut forgotten = Vec::new();
        for minute in 0..20_u32 {
            let revision = i64::from(minute) * 100;
            if let Some(old) = history.look(begin + KEEP * minute, revision) {
                assert_eq!(old, revision - 100, "a minute old");
                forgotten.push(minute);
            }
        }
        assert_eq!(forgotten, [5, 10, 15], "every five minutes");
    }

    #[test]
    fn much_is_forgotten_sooner() {
        let (mut history, begin) = (RevisionHistory::default(), Instant::now());
        assert_eq!(history.look(begin, 1), None);
        assert_eq!(history.look(begin + LOOK_EVERY, MUCH + 1), None, "too young");
        assert_eq!(history.look(begin + LOOK_EVERY + KEEP, 3 * MUCH), Some(MUCH + 1));
        assert!(history.seen.len() <= 2, "nothing is kept for ever");
    }
}
