//! Keys in etcd: readable ones, all under one prefix.
//!
//! ```text
//! PREFIX/m/schema m/cluster m/generation m/head   what every store has
//! PREFIX/l/LEASE                                  masters that lead or wait, by their leases
//! PREFIX/d/UID a/UID x/UID/NUMBER w/UID t/ID e/COMMIT  the records
//! ```

use muster_types::{ApplicationUid, Commit, DriverUid, WorkerUid};

use crate::key::Key;

/// The keys of one cluster.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    prefix: String,
}

/// The prefix, as it is given in the location of a store.
impl std::fmt::Display for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.prefix.trim_end_matches('/'))
    }
}

/// The meaning of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyKind {
    Schema,
    Cluster,
    Generation,
    Head,
    Migration,
    /// The election key with this lease.
    Election(i64),
    Record(Key),
}

/// A range of keys: from the first to before the second.
pub(super) type Range = (Vec<u8>, Vec<u8>);

impl Keys {
    pub(super) fn new(prefix: &str) -> Keys {
        Keys { prefix: format!("{prefix}/") }
    }

    pub(super) fn bytes(&self, place: KeyKind) -> Vec<u8> {
        let prefix = &self.prefix;
        match place {
            KeyKind::Schema => format!("{prefix}m/schema"),
            KeyKind::Cluster => format!("{prefix}m/cluster"),
            KeyKind::Generation => format!("{prefix}m/generation"),
            KeyKind::Head => format!("{prefix}m/head"),
            KeyKind::Migration => format!("{prefix}m/migration"),
            KeyKind::Election(lease) => format!("{prefix}l/{lease:016x}"),
            KeyKind::Record(Key::Driver(uid)) => format!("{prefix}d/{:032x}", uid.0),
            KeyKind::Record(Key::Application(uid)) => format!("{prefix}a/{:032x}", uid.0),
            KeyKind::Record(Key::Executors(uid, sequence)) => format!("{prefix}x/{:032x}/{sequence:020}", uid.0),
            KeyKind::Record(Key::Worker(uid)) => format!("{prefix}w/{:032x}", uid.0),
            KeyKind::Record(Key::Token(id)) => format!("{prefix}t/{id}"),
            KeyKind::Record(Key::Roles) => format!("{prefix}r/all"),
            KeyKind::Record(Key::Events(commit)) => format!("{prefix}e/{:020}", commit.0),
        }
        .into_bytes()
    }

    pub(super) fn record(&self, key: Key) -> Vec<u8> {
        self.bytes(KeyKind::Record(key))
    }

    /// The meaning of a key under the prefix; `None` for a foreign key.
    pub(super) fn place(&self, bytes: &[u8]) -> Option<KeyKind> {
        let text = self.name(bytes)?;
        match text {
            "m/schema" => return Some(KeyKind::Schema),
            "m/cluster" => return Some(KeyKind::Cluster),
            "m/generation" => return Some(KeyKind::Generation),
            "m/head" => return Some(KeyKind::Head),
            "m/migration" => return Some(KeyKind::Migration),
            _ => {}
        }
        let (kind, rest) = text.split_once('/')?;
        let key = match kind {
            "l" if rest.len() == 16 => return Some(KeyKind::Election(i64::from_str_radix(rest, 16).ok()?)),
            "d" => Key::Driver(DriverUid(uid(rest)?)),
            "a" => Key::Application(ApplicationUid(uid(rest)?)),
            "x" => {
                let (application, sequence) = rest.split_once('/')?;
                Key::Executors(ApplicationUid(uid(application)?), number(sequence)?)
            }
            "w" => Key::Worker(WorkerUid(uid(rest)?)),
            "t" => Key::Token(rest.parse().ok()?),
            "r" if rest == "all" => Key::Roles,
            "e" => Key::Events(Commit(number(rest)?)),
            _ => return None,
        };
        Some(KeyKind::Record(key))
    }

    /// The part of a key after the prefix, for people.
    pub(super) fn name<'a>(&self, bytes: &'a [u8]) -> Option<&'a str> {
        std::str::from_utf8(bytes.strip_prefix(self.prefix.as_bytes())?).ok()
    }

    /// All keys of the cluster.
    pub(super) fn everything(&self) -> Range {
        let mut end = self.prefix.clone().into_bytes();
        // The end is the prefix with its last slash replaced by the next character.
        end.pop();
        end.push(b'/' + 1);
        (self.prefix.clone().into_bytes(), end)
    }

    /// The prefixes around this one, the outermost first: `/a` and `/a/b` around `/a/b/c`.
    pub(super) fn around(&self) -> Vec<Keys> {
        let inner = self.prefix.trim_end_matches('/');
        let slashes = inner.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0);
        slashes.map(|at| Keys::new(&inner[..at])).collect()
    }

    /// The keys of which a store has one from its first transaction on: its schema, or the mark of
    /// a restore.
    pub(super) fn founding(&self) -> [Vec<u8>; 2] {
        [self.bytes(KeyKind::Schema), self.restoring()]
    }

    /// The mark of a prefix that is being filled from a backup.
    pub(super) fn restoring(&self) -> Vec<u8> {
        format!("{}m/restoring", self.prefix).into_bytes()
    }

    /// The election keys.
    pub(super) fn elections(&self) -> Range {
        (format!("{}l/", self.prefix).into_bytes(), format!("{}l0", self.prefix).into_bytes())
    }

    /// The keys that a leader must watch: the election keys, the cluster and the generation, and no
    /// key that a transaction writes.
    pub(super) fn offices(&self) -> Range {
        (format!("{}l/", self.prefix).into_bytes(), format!("{}m/generation\0", self.prefix).into_bytes())
    }

    /// The keys that every store has.
    pub(super) fn meta(&self) -> Range {
        (format!("{}m/", self.prefix).into_bytes(), format!("{}m0", self.prefix).into_bytes())
    }

    /// The events of these commits, both included.
    pub(super) fn events(&self, first: Commit, last: Commit) -> Range {
        let mut end = self.record(Key::Events(last));
        end.push(0);
        (self.record(Key::Events(first)), end)
    }
}

fn uid(text: &str) -> Option<u128> {
    (text.len() == 32 && is_lower_hex(text)).then(|| u128::from_str_radix(text, 16).ok())?
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn number(text: &str) -> Option<u64> {
    (text.len() == 20 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::new("/muster/prod")
    }

    fn within(range: &Range, key: &[u8]) -> bool {
        range.0.as_slice() <= key && key < range.1.as_slice()
    }

    const PLACES: [KeyKind; 13] = [
        KeyKind::Schema,
        KeyKind::Cluster,
        KeyKind::Generation,
        KeyKind::Head,
        KeyKind::Migration,
        KeyKind::Election(0x1234_5678_9abc_def0),
        KeyKind::Record(Key::Driver(DriverUid(u128::MAX - 1))),
        KeyKind::Record(Key::Application(ApplicationUid(2))),
        KeyKind::Record(Key::Executors(ApplicationUid(3), 1 << 40)),
        KeyKind::Record(Key::Worker(WorkerUid(4))),
        KeyKind::Record(Key::Roles),
        KeyKind::Record(Key::Token(muster_types::TokenId::from_bytes([1, 2, 3, 4, 5, 0xff]))),
        KeyKind::Record(Key::Events(Commit(u64::MAX))),
    ];

    #[test]
    fn every_key_is_readable_and_comes_back() {
        let keys = keys();
        for place in PLACES {
            let bytes = keys.bytes(place);
            assert_eq!(keys.place(&bytes), Some(place));
            assert!(bytes.is_ascii() && within(&keys.everything(), &bytes), "{place:?}");
        }
        assert_eq!(keys.record(Key::Events(Commit(7))), b"/muster/prod/e/00000000000000000007");
    }

    #[test]
    fn what_a_leader_must_see_is_nothing_that_a_transaction_writes() {
        let keys = keys();
        for place in PLACES {
            let expected = matches!(place, KeyKind::Election(_) | KeyKind::Cluster | KeyKind::Generation);
            assert_eq!(within(&keys.offices(), &keys.bytes(place)), expected, "{place:?}");
            assert_eq!(within(&keys.elections(), &keys.bytes(place)), matches!(place, KeyKind::Election(_)));
        }
    }

    #[test]
    fn another_prefix_is_none_of_ours() {
        let keys = keys();
        assert!(!within(&keys.everything(), b"/muster/production/m/schema"));
        assert_eq!(keys.place(b"/muster/production/m/schema"), None);
        for other in ["m/other", "d/12", "d/0000000000000000000000000000000G", "e/7", "l/xyz", "z/1", ""] {
            assert_eq!(keys.place(format!("/muster/prod/{other}").as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn the_prefixes_around_one_are_all_that_end_before_a_slash_of_it() {
        let around =
            |prefix: &str| -> Vec<String> { Keys::new(prefix).around().into_iter().map(|keys| keys.prefix).collect() };
        assert_eq!(around("/a/b/c"), ["/a/", "/a/b/"]);
        assert_eq!(around("/a"), [""; 0]);
    }

    #[test]
    fn a_range_of_events_has_both_its_ends() {
        let keys = keys();
        let range = keys.events(Commit(5), Commit(9));
        for (commit, expected) in [(4, false), (5, true), (9, true), (10, false)] {
            assert_eq!(within(&range, &keys.record(Key::Events(Commit(commit)))), expected, "{commit}");
        }
    }
}
