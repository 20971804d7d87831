//! Requested amounts of resources.

use muster_types::{DEFAULT_CORES, DEFAULT_MEMORY, Resources};

use super::checks::count;
use crate::{FieldViolations, Path, text, v1};

/// The most custom resources of one request.
const MAX_CUSTOM: usize = 64;
/// No process runs with less; a smaller number was probably meant in MiB.
const MIN_MEMORY: u64 = 1 << 20;

/// The meaning of 0 cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ZeroCores {
    /// The default (drivers).
    Default,
    /// All free cores (executors).
    AllFree,
}

/// The amounts with their defaults.
pub(super) fn resources(
    wire: Option<v1::Resources>,
    zero: ZeroCores,
    path: &Path<'_>,
    violations: &mut FieldViolations,
) -> Resources {
    let wire = wire.unwrap_or_default();
    let cores = match (wire.cores, zero) {
        (0, ZeroCores::Default) => DEFAULT_CORES,
        (cores, _) => cores,
    };
    let memory = if wire.memory_bytes == 0 { DEFAULT_MEMORY } else { wire.memory_bytes };
    if memory < MIN_MEMORY {
        violations.add(&path.field("memory_bytes"), format!("is {memory} bytes; at least {MIN_MEMORY} (1 MiB)"));
    }
    let custom_path = path.field("custom");
    count(wire.custom.len(), MAX_CUSTOM, &custom_path, violations);
    for name in wire.custom.keys().filter(|name| !text::is_resource_name(name)) {
        violations.add(&custom_path.key(name), "the name does not match [a-z][a-z0-9_-]{0,62}");
    }
    // Zero of a resource is not a request.
    let custom = wire.custom.into_iter().filter(|(_, amount)| *amount > 0);
    Resources { cores, memory, custom: custom.map(|(name, amount)| (name.into(), amount)).collect() }
}
