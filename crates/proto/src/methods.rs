//! Properties of methods, read from the descriptors.

use std::collections::HashSet;

use prost::Message as _;
use prost_types::method_options::IdempotencyLevel;
use prost_types::{FileDescriptorSet, MethodDescriptorProto};

use crate::FILE_DESCRIPTOR_SET;

/// Paths of the methods that have no side effect, as `/package.Service/Method`.
pub fn reads() -> HashSet<String> {
    paths(|method| {
        let level = method.options.as_ref().map(|options| options.idempotency_level());
        level == Some(IdempotencyLevel::NoSideEffects)
    })
}

/// Paths of the methods that take a stream of messages.
pub fn client_streams() -> HashSet<String> {
    paths(MethodDescriptorProto::client_streaming)
}

fn paths(wanted: impl Fn(&MethodDescriptorProto) -> bool) -> HashSet<String> {
    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap_or_default();
    let mut paths = HashSet::new();
    for file in &set.file {
        for service in &file.service {
            for method in service.method.iter().filter(|method| wanted(method)) {
                paths.insert(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
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

    #[test]
    fn the_link_alone_takes_a_stream() {
        assert_eq!(client_streams(), HashSet::from(["/muster.v1.WorkerLinkService/Link".to_owned()]));
    }
}
