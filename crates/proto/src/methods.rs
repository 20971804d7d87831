//! What the descriptors say of methods.

use std::collections::HashSet;

use prost::Message as _;
use prost_types::FileDescriptorSet;
use prost_types::method_options::IdempotencyLevel;

use crate::FILE_DESCRIPTOR_SET;

/// Paths of the methods that have no side effect, as `/package.Service/Method`.
pub fn reads() -> HashSet<String> {
    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap_or_default();
    let mut paths = HashSet::new();
    for file in &set.file {
        for service in &file.service {
            for method in &service.method {
                let level = method.options.as_ref().map(|options| options.idempotency_level());
                if level == Some(IdempotencyLevel::NoSideEffects) {
                    paths.insert(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
                }
            }
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_told_from_mutations() {
        let reads = reads();
        assert!(reads.contains("/muster.v1.MasterService/GetDriver"));
        assert!(reads.contains("/muster.v1.MasterService/WatchEvents"));
        for mutation in ["SubmitDriver", "KillDriver", "DrainWorker", "StepDown"] {
            assert!(!reads.contains(&format!("/muster.v1.MasterService/{mutation}")), "{mutation}");
        }
    }
}
