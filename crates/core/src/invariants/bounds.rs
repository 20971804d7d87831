//! Groups are bounded, and write a key once.

use std::collections::BTreeSet;

use muster_types::Write;

use super::{InvariantViolation, violate};
use crate::{Group, MAX_GROUP_BYTES, MAX_GROUP_WRITES, size};

pub(super) fn check(group: &Group, found: &mut Vec<InvariantViolation>) {
    if group.writes.len() > MAX_GROUP_WRITES {
        violate(found, "groups are bounded", format!("{} writes", group.writes.len()));
    }
    let bytes: usize = group.writes.iter().map(size::write).sum();
    if bytes > MAX_GROUP_BYTES {
        violate(found, "groups are bounded", format!("{bytes} bytes"));
    }
    let mut keys = BTreeSet::new();
    for write in &group.writes {
        if !keys.insert(key(write)) {
            violate(found, "a group writes a key once", key(write));
        }
    }
}

fn key(write: &Write) -> String {
    match write {
        Write::PutDriver(record) => format!("driver {}", record.uid),
        Write::DeleteDriver(uid) => format!("driver {uid}"),
        Write::PutApplication(record) => format!("application {}", record.uid),
        Write::DeleteApplication(uid) => format!("application {uid}"),
        Write::PutExecutors(record) => format!("executors {} {}", record.application, record.sequence),
        Write::DeleteExecutors(uid, sequence) => format!("executors {uid} {sequence}"),
        Write::PutWorker(record) => format!("worker {}", record.uid),
        Write::DeleteWorker(uid) => format!("worker {uid}"),
        Write::PutToken(record) => format!("token {}", record.id),
        Write::DeleteToken(id) => format!("token {id}"),
        Write::PutRoles(_) => "roles".to_owned(),
        Write::PutEvents(record) => format!("events {}", record.commit.0),
        Write::DeleteEvents(commit) => format!("events {}", commit.0),
    }
}
