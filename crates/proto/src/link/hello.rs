//! Hello and welcome.

use std::time::Duration;

use muster_types::{Capabilities, ClusterUid, Epoch, Hello, Incarnation, Session, WorkerName, WorkerUid};
use prost::bytes::Bytes;

use super::numbers::{NOT_A_UID, uid_bytes};
use crate::time::{duration, required_length};
use crate::wire_error::required;
use crate::{WireError, text, v1};

/// The version of the link that this release speaks.
pub const PROTOCOL_VERSION: u32 = 1;

/// Bounds of the texts in a hello, which are stored and shown. `MAX_MACHINE_ID` also bounds other
/// short texts.
const MAX_MACHINE_ID: usize = 128;
const MAX_HOST: usize = 253;
const MAX_ADDRESS: usize = 300;
const MAX_LABELS: usize = 64;
const MAX_VARIABLES: usize = 256;

impl From<&Capabilities> for v1::Capabilities {
    fn from(capabilities: &Capabilities) -> Self {
        v1::Capabilities {
            tree: capabilities.tree,
            memory_limit: capabilities.memory_limit,
            cpu_limit: capabilities.cpu_limit,
            pids_limit: capabilities.pids_limit,
            freezer: capabilities.freezer,
            dies_with_runner: capabilities.dies_with_runner,
            earlier_ended: capabilities.earlier_ended,
            punch_hole: capabilities.punch_hole,
            own_users: capabilities.own_users,
            protected_runner: capabilities.protected_runner,
            owner_users: capabilities.owner_users,
            private_tmp: capabilities.private_tmp,
            tree_method: capabilities.tree_method.clone(),
        }
    }
}

impl From<v1::Capabilities> for Capabilities {
    fn from(wire: v1::Capabilities) -> Self {
        let mut tree_method = wire.tree_method;
        text::shorten(&mut tree_method, MAX_MACHINE_ID);
        Capabilities {
            tree: wire.tree,
            memory_limit: wire.memory_limit,
            cpu_limit: wire.cpu_limit,
            pids_limit: wire.pids_limit,
            freezer: wire.freezer,
            dies_with_runner: wire.dies_with_runner,
            earlier_ended: wire.earlier_ended,
            punch_hole: wire.punch_hole,
            own_users: wire.own_users,
            protected_runner: wire.protected_runner,
            owner_users: wire.owner_users,
            private_tmp: wire.private_tmp,
            tree_method,
        }
    }
}

impl From<&Hello> for v1::Hello {
    fn from(hello: &Hello) -> Self {
        v1::Hello {
            version_min: PROTOCOL_VERSION,
            version_max: PROTOCOL_VERSION,
            cluster_uid: hello.cluster.map(|uid| uid_bytes(uid.to_bytes())).unwrap_or_default(),
            worker_uid: uid_bytes(hello.worker.to_bytes()),
            name: hello.name.as_str().to_owned(),
            machine_id: hello.machine_id.clone(),
            boot_id: hello.boot_id.clone(),
            incarnation: Some(hello.incarnation.into()),
            session: hello.session.0,
            epoch: hello.epoch.map(Into::into),
            capabilities: Some((&hello.capabilities).into()),
            total: Some((&hello.total).into()),
            labels: hello.labels.clone(),
            variables: hello.variables.iter().cloned().collect(),
            host: hello.host.clone(),
            address: hello.address.clone(),
            agent_version: hello.version.clone(),
            credential: Bytes::new(),
        }
    }
}

impl v1::Hello {
    /// The version to speak with this worker; `None` when there is none in common.
    pub fn common_version(&self) -> Option<u32> {
        (self.version_min..=self.version_max).contains(&PROTOCOL_VERSION).then_some(PROTOCOL_VERSION)
    }
}

impl TryFrom<v1::Hello> for Hello {
    type Error = WireError;

    fn try_from(wire: v1::Hello) -> Result<Self, WireError> {
        check_texts(&wire)?;
        let incarnation = required(wire.incarnation.as_ref(), "incarnation")?;
        let total = required(wire.total, "total")?;
        let epoch = wire.epoch.as_ref().map(Epoch::try_from).transpose().map_err(|error| error.within("epoch"))?;
        Ok(Hello {
            cluster: cluster_of(&wire.cluster_uid)?,
            worker: WorkerUid::from_slice(&wire.worker_uid).ok_or_else(|| WireError::new("worker_uid", NOT_A_UID))?,
            name: WorkerName::new(wire.name),
            machine_id: wire.machine_id,
            boot_id: wire.boot_id,
            incarnation: Incarnation::from(incarnation),
            session: Session(wire.session),
            epoch,
            capabilities: wire.capabilities.unwrap_or_default().into(),
            total: total.try_into().map_err(|error: WireError| error.within("total"))?,
            labels: wire.labels,
            variables: wire.variables.into_iter().collect(),
            host: wire.host,
            address: wire.address,
            version: wire.agent_version,
            key: None,
        })
    }
}

fn cluster_of(bytes: &[u8]) -> Result<Option<ClusterUid>, WireError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    ClusterUid::from_slice(bytes).map(Some).ok_or_else(|| WireError::new("cluster_uid", NOT_A_UID))
}

fn check_texts(wire: &v1::Hello) -> Result<(), WireError> {
    let printable = |text: &str, most: usize| text.len() <= most && !text.chars().any(char::is_control);
    let check = |good: bool, field: &str, problem| if good { Ok(()) } else { Err(WireError::new(field, problem)) };
    let too_long = "is too long, or has control characters";
    check(text::is_worker_name(&wire.name), "name", "does not match [A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")?;
    check(printable(&wire.machine_id, MAX_MACHINE_ID), "machine_id", too_long)?;
    check(printable(&wire.boot_id, MAX_MACHINE_ID), "boot_id", too_long)?;
    check(printable(&wire.host, MAX_HOST), "host", too_long)?;
    check(printable(&wire.address, MAX_ADDRESS), "address", too_long)?;
    check(printable(&wire.agent_version, MAX_MACHINE_ID), "agent_version", too_long)?;
    check(
        wire.labels.len() <= MAX_LABELS
            && wire.labels.iter().all(|(key, value)| text::is_label_key(key) && text::is_label_value(value)),
        "labels",
        "more than 64, or a key or value is longer than 63 bytes or has characters that labels cannot have",
    )?;
    check(
        wire.variables.len() <= MAX_VARIABLES && wire.variables.iter().all(|name| text::is_variable_name(name)),
        "variables",
        "more than 256, or a name does not match [A-Z][A-Z0-9_]*",
    )
}

/// The settings that the leader gives to a worker whose hello it has accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderWelcome {
    /// The version to speak.
    pub version: u32,
    /// The cluster.
    pub cluster: ClusterUid,
    /// Its name, for people and for `MUSTER_CLUSTER`.
    pub cluster_name: String,
    /// Time between heartbeats.
    pub heartbeat: Duration,
    /// Length of the worker's lease.
    pub lease: Duration,
    /// Addresses of all masters that are known.
    pub masters: Vec<String>,
}

impl From<&LeaderWelcome> for v1::Welcome {
    fn from(welcome: &LeaderWelcome) -> Self {
        v1::Welcome {
            version: welcome.version,
            cluster_uid: uid_bytes(welcome.cluster.to_bytes()),
            heartbeat: Some(duration(welcome.heartbeat)),
            lease: Some(duration(welcome.lease)),
            masters: welcome.masters.clone(),
            cluster_name: welcome.cluster_name.clone(),
        }
    }
}

impl TryFrom<v1::Welcome> for LeaderWelcome {
    type Error = WireError;

    fn try_from(wire: v1::Welcome) -> Result<Self, WireError> {
        if wire.version != PROTOCOL_VERSION {
            return Err(WireError::new("version", "is none that was offered"));
        }
        let heartbeat = required_length(wire.heartbeat, "heartbeat")?;
        let lease = required_length(wire.lease, "lease")?;
        if heartbeat.is_zero() || lease < heartbeat {
            return Err(WireError::new("heartbeat", "is zero, or longer than the lease"));
        }
        Ok(LeaderWelcome {
            version: wire.version,
            cluster: ClusterUid::from_slice(&wire.cluster_uid)
                .ok_or_else(|| WireError::new("cluster_uid", NOT_A_UID))?,
            cluster_name: wire.cluster_name,
            heartbeat,
            lease,
            masters: wire.masters,
        })
    }
}
