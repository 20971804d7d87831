//! Resources, both ways.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_types::{AllocatedResources, Resources};

use crate::{WireError, v1};

impl From<&Resources> for v1::Resources {
    fn from(resources: &Resources) -> Self {
        v1::Resources {
            cores: resources.cores,
            memory_bytes: resources.memory,
            custom: resources.custom.iter().map(|(name, amount)| (name.to_string(), *amount)).collect(),
        }
    }
}

impl From<&AllocatedResources> for v1::AllocatedResources {
    fn from(resources: &AllocatedResources) -> Self {
        let addresses = |list: &Vec<Arc<str>>| v1::ResourceAddresses {
            addresses: list.iter().map(|address| address.to_string()).collect(),
        };
        v1::AllocatedResources {
            cores: resources.cores,
            memory_bytes: resources.memory,
            custom: resources.addresses.iter().map(|(name, list)| (name.to_string(), addresses(list))).collect(),
        }
    }
}

/// The most addresses of one resource on one worker.
const MAX_ADDRESSES: usize = 1024;
const MAX_ADDRESS_BYTES: usize = 128;

impl TryFrom<v1::AllocatedResources> for AllocatedResources {
    type Error = WireError;

    fn try_from(wire: v1::AllocatedResources) -> Result<Self, WireError> {
        let mut addresses = BTreeMap::new();
        for (name, list) in wire.custom {
            if !crate::text::is_resource_name(&name) {
                return Err(WireError::new("custom", "a name does not match [a-z][a-z0-9_-]{0,62}"));
            }
            addresses.insert(name.into(), addresses_of(list.addresses)?);
        }
        Ok(AllocatedResources { cores: wire.cores, memory: wire.memory_bytes, addresses })
    }
}

fn addresses_of(list: Vec<String>) -> Result<Vec<Arc<str>>, WireError> {
    let error = |problem| Err(WireError::new("custom.addresses", problem));
    if list.len() > MAX_ADDRESSES {
        return error("more than 1,024 addresses");
    }
    if list.iter().any(|address| address.is_empty() || address.len() > MAX_ADDRESS_BYTES || address.contains('\0')) {
        return error("an address is empty, longer than 128 bytes, or has a NUL");
    }
    let mut sorted: Vec<&String> = list.iter().collect();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return error("an address is listed twice");
    }
    Ok(list.into_iter().map(Arc::from).collect())
}
