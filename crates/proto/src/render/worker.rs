//! Workers.

use muster_types::{Resources, WallTime, WorkerRecord, WorkerState};

use crate::time::timestamp;
use crate::v1;

/// Facts about a worker that are not in its record.
#[derive(Debug, Clone, Copy)]
pub struct WorkerExtras<'a> {
    /// Its present state.
    pub state: WorkerState,
    /// The resources in use.
    pub used: &'a Resources,
    /// Drivers on it that have not ended.
    pub drivers: u32,
    /// Executors on it that have not ended.
    pub executors: u32,
    /// When its present stream began.
    pub connected: Option<WallTime>,
    /// When it was last heard.
    pub last_heard: Option<WallTime>,
    /// Attempts that it runs and no record names.
    pub quarantined: &'a [String],
}

/// A worker.
pub fn worker(record: &WorkerRecord, extras: WorkerExtras<'_>) -> v1::Worker {
    let empty = extras.drivers == 0 && extras.executors == 0 && extras.quarantined.is_empty();
    v1::Worker {
        name: record.name.as_str().to_owned(),
        uid: record.uid.to_string(),
        state: v1::worker::State::from(extras.state).into(),
        draining: record.drain.is_some(),
        empty,
        host: record.host.clone(),
        address: record.address.clone(),
        total: Some((&record.total).into()),
        used: Some(extras.used.into()),
        labels: record.labels.clone(),
        variables: record.variables.iter().cloned().collect(),
        capabilities: Some((&record.capabilities).into()),
        incarnation: record.incarnation.to_string(),
        drivers: extras.drivers,
        executors: extras.executors,
        version: record.version.clone(),
        create_time: Some(timestamp(record.created)),
        connect_time: extras.connected.map(timestamp),
        last_heard_time: extras.last_heard.map(timestamp),
        quarantined: extras.quarantined.to_vec(),
        revoked: record.revoked,
        key_digest: record.key.map(|key| key.to_string()).unwrap_or_default(),
    }
}
