//! The election queue: the leader and the standbys, by the election keys.

use std::collections::{BTreeMap, BTreeSet};

use muster_types::{Epoch, LeaderUid, WallTime};

use crate::codec::{DecodeError, Stored, proto, required};
use crate::{LeaderView, Member};

/// The value of an election key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MemberRecord {
    pub(super) leader: LeaderUid,
    pub(super) address: String,
    pub(super) version: String,
    pub(super) since: WallTime,
}

impl Stored for MemberRecord {
    type Message = proto::MemberRecord;

    fn to_message(&self) -> proto::MemberRecord {
        proto::MemberRecord {
            leader: self.leader.0.to_be_bytes().to_vec(),
            address: self.address.clone(),
            version: self.version.clone(),
            since: self.since.0,
        }
    }

    fn from_message(message: proto::MemberRecord) -> Result<MemberRecord, DecodeError> {
        Ok(MemberRecord {
            leader: required(LeaderUid::from_slice(&message.leader), "leader")?,
            address: message.address,
            version: message.version,
            since: WallTime(message.since),
        })
    }
}

/// All masters with an election key, by the creation revisions of their keys; the lowest leads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ElectionQueue {
    members: BTreeMap<i64, QueueEntry>,
    pub(super) generation: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct QueueEntry {
    lease: i64,
    /// `None` for a value that this release cannot read; the key counts nevertheless.
    record: Option<MemberRecord>,
}

impl ElectionQueue {
    pub(super) fn put(&mut self, created: i64, lease: i64, value: &[u8]) {
        self.members.insert(created, QueueEntry { lease, record: MemberRecord::decode(value).ok() });
    }

    pub(super) fn delete(&mut self, lease: i64) {
        self.members.retain(|_, entry| entry.lease != lease);
    }

    /// The creation revision of the leader's key.
    pub(super) fn first(&self) -> Option<i64> {
        self.members.keys().next().copied()
    }

    pub(super) fn has(&self, created: i64) -> bool {
        self.members.contains_key(&created)
    }

    pub(super) fn created(&self) -> BTreeSet<i64> {
        self.members.keys().copied().collect()
    }

    /// The lease of the key with this creation revision.
    pub(super) fn lease(&self, created: i64) -> Option<i64> {
        self.members.get(&created).map(|entry| entry.lease)
    }

    /// The view for the rest of the process.
    pub(super) fn view(&self, own: Option<i64>) -> LeaderView {
        let member = |(created, entry): (&i64, &QueueEntry)| {
            let epoch = |leader| Epoch { generation: self.generation, revision: revision(*created), leader };
            match &entry.record {
                Some(record) => Member {
                    epoch: epoch(record.leader),
                    address: record.address.clone(),
                    version: record.version.clone(),
                    since: record.since,
                },
                None => Member {
                    epoch: epoch(LeaderUid(0)),
                    address: String::new(),
                    version: String::new(),
                    since: WallTime(0),
                },
            }
        };
        LeaderView {
            members: self.members.iter().map(member).collect(),
            own: own.and_then(|own| self.members.keys().position(|created| *created == own)),
            generation: self.generation,
            rolled_back: false,
        }
    }
}

/// Converts a revision of etcd, which is positive.
pub(super) fn revision(revision: i64) -> u64 {
    u64::try_from(revision).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(leader: u128) -> Vec<u8> {
        let (address, version) = ("h:1".to_owned(), "1".to_owned());
        MemberRecord { leader: LeaderUid(leader), address, version, since: WallTime(5) }.encode()
    }

    #[test]
    fn the_lowest_creation_revision_leads() {
        let mut queue = ElectionQueue { generation: 2, ..ElectionQueue::default() };
        queue.put(30, 3, &record(3));
        queue.put(10, 9, &record(1));
        queue.put(20, 2, b"\xff");
        assert_eq!(queue.first(), Some(10));
        let view = queue.view(Some(30));
        assert_eq!(view.own, Some(2));
        assert_eq!(view.members[0].epoch, Epoch { generation: 2, revision: 10, leader: LeaderUid(1) });
        assert_eq!(view.members[1].address, "", "one that is not understood is in line all the same");
        queue.delete(9);
        queue.delete(2);
        assert_eq!(queue.view(Some(30)).own, Some(0));
        assert_eq!(queue.view(Some(10)).own, None);
    }
}
