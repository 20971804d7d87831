//! Workers.

use muster_types::{Capabilities, DrainRecord, KeyDigest, RequestId, WallTime, WorkerName, WorkerRecord, WorkerUid};

use super::{DecodeError, Stored, nested, optional, proto, required, strings};

impl Stored for WorkerRecord {
    type Message = proto::WorkerRecord;

    fn to_message(&self) -> proto::WorkerRecord {
        proto::WorkerRecord {
            uid: self.uid.to_bytes().to_vec(),
            name: self.name.to_string(),
            machine_id: self.machine_id.clone(),
            boot_id: self.boot_id.clone(),
            incarnation: Some(self.incarnation.to_message()),
            total: Some(self.total.to_message()),
            capabilities: Some(self.capabilities.to_message()),
            labels: self.labels.clone(),
            variables: self.variables.iter().cloned().collect(),
            host: self.host.clone(),
            address: self.address.clone(),
            version: self.version.clone(),
            drain: self.drain.as_ref().map(Stored::to_message),
            requests: strings(&self.requests),
            lost: self.lost,
            forgotten: self.forgotten,
            created: self.created.0,
            key: self.key.map(|key| key.0.to_vec()),
            revoked: self.revoked,
        }
    }

    fn from_message(message: proto::WorkerRecord) -> Result<WorkerRecord, DecodeError> {
        Ok(WorkerRecord {
            uid: required(WorkerUid::from_slice(&message.uid), "uid")?,
            name: WorkerName::new(message.name),
            machine_id: message.machine_id,
            boot_id: message.boot_id,
            incarnation: nested(message.incarnation, "incarnation")?,
            total: nested(message.total, "total")?,
            capabilities: nested(message.capabilities, "capabilities")?,
            labels: message.labels,
            variables: message.variables.into_iter().collect(),
            host: message.host,
            address: message.address,
            version: message.version,
            drain: optional(message.drain)?,
            requests: message.requests.into_iter().map(RequestId::new).collect(),
            lost: message.lost,
            forgotten: message.forgotten,
            created: WallTime(message.created),
            key: message.key.map(|key| required(KeyDigest::from_slice(&key), "key")).transpose()?,
            revoked: message.revoked,
        })
    }
}

impl Stored for Capabilities {
    type Message = proto::Capabilities;

    fn to_message(&self) -> proto::Capabilities {
        proto::Capabilities {
            tree: self.tree,
            memory_limit: self.memory_limit,
            cpu_limit: self.cpu_limit,
            pids_limit: self.pids_limit,
            freezer: self.freezer,
            dies_with_runner: self.dies_with_runner,
            earlier_ended: self.earlier_ended,
            punch_hole: self.punch_hole,
            own_users: self.own_users,
            protected_runner: self.protected_runner,
            owner_users: self.owner_users,
            private_tmp: self.private_tmp,
            tree_method: self.tree_method.clone(),
        }
    }

    fn from_message(message: proto::Capabilities) -> Result<Capabilities, DecodeError> {
        Ok(Capabilities {
            tree: message.tree,
            memory_limit: message.memory_limit,
            cpu_limit: message.cpu_limit,
            pids_limit: message.pids_limit,
            freezer: message.freezer,
            dies_with_runner: message.dies_with_runner,
            earlier_ended: message.earlier_ended,
            punch_hole: message.punch_hole,
            own_users: message.own_users,
            protected_runner: message.protected_runner,
            owner_users: message.owner_users,
            private_tmp: message.private_tmp,
            tree_method: message.tree_method,
        })
    }
}

impl Stored for DrainRecord {
    type Message = proto::DrainRecord;

    fn to_message(&self) -> proto::DrainRecord {
        proto::DrainRecord { asked: self.asked.0, deadline: self.deadline.as_ref().map(Stored::to_message) }
    }

    fn from_message(message: proto::DrainRecord) -> Result<DrainRecord, DecodeError> {
        Ok(DrainRecord { asked: WallTime(message.asked), deadline: optional(message.deadline)? })
    }
}
