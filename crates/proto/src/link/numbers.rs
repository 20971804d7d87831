//! The numbers and keys that many messages carry.

use muster_types::{ApplicationUid, AttemptKey, AttemptNumber, DriverUid, Epoch, ExecutorId, Incarnation, LeaderUid};
use prost::bytes::Bytes;

use crate::{WireError, v1};

/// The problem of a uid of the wrong length.
pub(super) const NOT_A_UID: &str = "is not 16 bytes";

pub(super) fn uid_bytes(uid: [u8; 16]) -> Bytes {
    Bytes::copy_from_slice(&uid)
}

impl From<Epoch> for v1::Epoch {
    fn from(epoch: Epoch) -> Self {
        v1::Epoch {
            generation: epoch.generation,
            revision: epoch.revision,
            leader_uid: uid_bytes(epoch.leader.to_bytes()),
        }
    }
}

impl TryFrom<&v1::Epoch> for Epoch {
    type Error = WireError;

    fn try_from(wire: &v1::Epoch) -> Result<Self, WireError> {
        let leader = LeaderUid::from_slice(&wire.leader_uid).ok_or_else(|| WireError::new("leader_uid", NOT_A_UID))?;
        Ok(Epoch { generation: wire.generation, revision: wire.revision, leader })
    }
}

impl From<Incarnation> for v1::Incarnation {
    fn from(incarnation: Incarnation) -> Self {
        v1::Incarnation { counter: incarnation.counter, random: incarnation.random }
    }
}

impl From<&v1::Incarnation> for Incarnation {
    fn from(wire: &v1::Incarnation) -> Self {
        Incarnation { counter: wire.counter, random: wire.random }
    }
}

impl From<AttemptKey> for v1::AttemptKey {
    fn from(key: AttemptKey) -> Self {
        v1::AttemptKey { uid: uid_bytes(key.uid().to_be_bytes()), number: key.number(), executor: key.is_executor() }
    }
}

impl TryFrom<&v1::AttemptKey> for AttemptKey {
    type Error = WireError;

    fn try_from(wire: &v1::AttemptKey) -> Result<Self, WireError> {
        let bad = || WireError::new("uid", NOT_A_UID);
        if wire.executor {
            let uid = ApplicationUid::from_slice(&wire.uid).ok_or_else(bad)?;
            Ok(AttemptKey::Executor(uid, ExecutorId(wire.number)))
        } else {
            let uid = DriverUid::from_slice(&wire.uid).ok_or_else(bad)?;
            Ok(AttemptKey::Driver(uid, AttemptNumber(wire.number)))
        }
    }
}

/// The attempt that a message must name.
pub(super) fn attempt_of(wire: Option<&v1::AttemptKey>) -> Result<AttemptKey, WireError> {
    let key = wire.ok_or_else(|| WireError::new("attempt", "is missing"))?;
    AttemptKey::try_from(key).map_err(|error| error.within("attempt"))
}
