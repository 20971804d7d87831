//! Keys of records.

use std::fmt;

use muster_types::{ApplicationUid, Commit, DriverUid, TokenId, WorkerUid, Write};

/// The key of a record. Its bytes are a letter for the kind and then numbers in big-endian, so that
/// records of a kind are neighbours and those of one application and of the events are in their
/// order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Driver(DriverUid),
    Application(ApplicationUid),
    Executors(ApplicationUid, u64),
    Worker(WorkerUid),
    Token(TokenId),
    Roles,
    Events(Commit),
}

impl Key {
    /// The key that a write changes.
    pub(crate) fn of(write: &Write) -> Key {
        match write {
            Write::PutDriver(record) => Key::Driver(record.uid),
            Write::DeleteDriver(uid) => Key::Driver(*uid),
            Write::PutApplication(record) => Key::Application(record.uid),
            Write::DeleteApplication(uid) => Key::Application(*uid),
            Write::PutExecutors(record) => Key::Executors(record.application, record.sequence),
            Write::DeleteExecutors(application, sequence) => Key::Executors(*application, *sequence),
            Write::PutWorker(record) => Key::Worker(record.uid),
            Write::DeleteWorker(uid) => Key::Worker(*uid),
            Write::PutToken(record) => Key::Token(record.id),
            Write::DeleteToken(id) => Key::Token(*id),
            Write::PutRoles(_) => Key::Roles,
            Write::PutEvents(record) => Key::Events(record.commit),
            Write::DeleteEvents(commit) => Key::Events(*commit),
        }
    }

    /// To bytes.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let (kind, parts): (u8, [&[u8]; 2]) = match &self {
            Key::Driver(uid) => (b'd', [&uid.to_bytes(), &[]]),
            Key::Application(uid) => (b'a', [&uid.to_bytes(), &[]]),
            Key::Executors(uid, sequence) => (b'x', [&uid.to_bytes(), &sequence.to_be_bytes()]),
            Key::Worker(uid) => (b'w', [&uid.to_bytes(), &[]]),
            Key::Token(id) => (b't', [&id.to_bytes(), &[]]),
            Key::Roles => (b'r', [&[], &[]]),
            Key::Events(commit) => (b'e', [&commit.0.to_be_bytes(), &[]]),
        };
        let mut bytes = Vec::with_capacity(25);
        bytes.push(kind);
        bytes.extend_from_slice(parts[0]);
        bytes.extend_from_slice(parts[1]);
        bytes
    }

    /// From bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Key> {
        let (kind, rest) = bytes.split_first()?;
        match kind {
            b'd' => DriverUid::from_slice(rest).map(Key::Driver),
            b'a' => ApplicationUid::from_slice(rest).map(Key::Application),
            b'x' => {
                let (uid, sequence) = rest.split_at_checked(16)?;
                Some(Key::Executors(ApplicationUid::from_slice(uid)?, number(sequence)?))
            }
            b'w' => WorkerUid::from_slice(rest).map(Key::Worker),
            b't' => TokenId::from_slice(rest).map(Key::Token),
            b'r' => rest.is_empty().then_some(Key::Roles),
            b'e' => number(rest).map(|number| Key::Events(Commit(number))),
            _ => None,
        }
    }
}

fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

/// The name of a quarantined record, for people.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Driver(uid) => write!(f, "driver/{uid}"),
            Key::Application(uid) => write!(f, "application/{uid}"),
            Key::Executors(uid, sequence) => write!(f, "executors/{uid}/{sequence}"),
            Key::Worker(uid) => write!(f, "worker/{uid}"),
            Key::Token(id) => write!(f, "token/{id}"),
            Key::Roles => f.write_str("roles"),
            Key::Events(commit) => write!(f, "events/{}", commit.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_comes_back_from_its_bytes() {
        let keys = [
            Key::Driver(DriverUid(u128::MAX - 1)),
            Key::Application(ApplicationUid(2)),
            Key::Executors(ApplicationUid(3), 1 << 40),
            Key::Worker(WorkerUid(4)),
            Key::Token(TokenId::from_bytes([1, 2, 3, 4, 5, 0xff])),
            Key::Roles,
            Key::Events(Commit(u64::MAX)),
        ];
        for key in keys {
            assert_eq!(Key::from_bytes(&key.to_bytes()), Some(key));
        }
    }

    #[test]
    fn a_key_of_another_kind_or_length_is_none_of_ours() {
        for bytes in [
            &b""[..],
            b"d",
            b"d0123456789abcde",
            b"d0123456789abcdefg",
            b"z0123456789abcdef",
            b"t12345",
            b"t1234567",
            b"r1",
            b"e1234567",
            b"e123456789",
        ] {
            assert_eq!(Key::from_bytes(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn records_of_one_application_and_events_are_in_order() {
        let uid = ApplicationUid(9);
        assert!(Key::Executors(uid, 255).to_bytes() < Key::Executors(uid, 256).to_bytes());
        assert!(Key::Events(Commit(255)).to_bytes() < Key::Events(Commit(256)).to_bytes());
    }
}
