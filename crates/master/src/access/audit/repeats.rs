//! Counts of equal refusals, so that whoever is refused again and again does not fill the file.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::{AuditLine, CallOrigin};

/// Refusals that are told apart between two sweeps. Further ones are counted as one of nobody.
const MAX_KEYS: usize = 4096;

/// What makes refusals equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct RefusalKey {
    pub(super) origin: CallOrigin,
    pub(super) verdict: &'static str,
    pub(super) reason: Cow<'static, str>,
}

impl RefusalKey {
    pub(super) fn line(&self, repeated: Option<u64>) -> AuditLine {
        AuditLine { repeated, ..self.origin.line(self.verdict, self.reason.to_string()) }
    }
}

/// The refusals since the last sweep, and how often each was repeated.
#[derive(Debug, Default)]
pub(super) struct Repeats(Mutex<HashMap<RefusalKey, u64>>);

impl Repeats {
    /// Whether a refusal is the first of its kind since the last sweep; otherwise it is counted.
    pub(super) fn is_first(&self, key: &RefusalKey) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A peer has a new port with each connection.
        let key = RefusalKey { origin: key.origin.without_port(), ..key.clone() };
        if let Some(count) = known.get_mut(&key) {
            *count += 1;
            return false;
        }
        if known.len() >= MAX_KEYS {
            let rest = RefusalKey {
                origin: CallOrigin::of_many(key.origin.method),
                verdict: key.verdict,
                reason: Cow::Borrowed("MANY"),
            };
            *known.entry(rest).or_default() += 1;
            return false;
        }
        known.insert(key, 0);
        true
    }

    /// Those that were repeated, and how often. What comes later is the first again.
    pub(super) fn take(&self) -> Vec<(RefusalKey, u64)> {
        let known = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        known.into_iter().filter(|(_, count)| *count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use muster_proto::methods::Method;

    use super::*;

    fn key(peer: &str, reason: &'static str) -> RefusalKey {
        let origin = CallOrigin::new(Method::MasterStepDown, Some(peer.parse().unwrap()), false, None);
        RefusalKey { origin, verdict: "denied", reason: reason.into() }
    }

    #[test]
    fn equal_refusals_are_counted_until_they_are_told() {
        let repeats = Repeats::default();
        assert!(repeats.is_first(&key("10.0.0.1:1000", "NO_CREDENTIAL")));
        assert!(!repeats.is_first(&key("10.0.0.1:1001", "NO_CREDENTIAL")), "from another port");
        assert!(!repeats.is_first(&key("10.0.0.1:1002", "NO_CREDENTIAL")));
        assert!(repeats.is_first(&key("10.0.0.2:1000", "NO_CREDENTIAL")));
        assert!(repeats.is_first(&key("10.0.0.1:1000", "BAD_CREDENTIAL")));
        let counts: Vec<u64> = repeats.take().into_iter().map(|(_, count)| count).collect();
        assert_eq!(counts, [2]);
        assert!(repeats.is_first(&key("10.0.0.1:1000", "NO_CREDENTIAL")));
    }

    #[test]
    fn a_flood_of_different_refusals_is_one_count() {
        let repeats = Repeats::default();
        for peer in 0..10_000 {
            repeats.is_first(&key(&format!("10.0.{}.{}:1", peer / 256, peer % 256), "NO_CREDENTIAL"));
        }
        let counts = repeats.take();
        assert_eq!(counts.len(), 1);
        assert_eq!((&*counts[0].0.reason, counts[0].1), ("MANY", 10_000 - MAX_KEYS as u64));
    }
}
