//! What a server reflects: its services, and every file that their messages, errors and answers
//! need.
//!
//! It has handlers of its own, with the types of `tonic-reflection`: the handlers of that crate end
//! a stream at an unknown symbol, and list only their own version.

mod index;
mod service;

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use prost_types::{FileDescriptorProto, FileDescriptorSet};

use crate::FILE_DESCRIPTOR_SET;

pub use index::{LazyIndex, ReflectionIndex};
pub use service::{V1, V1Alpha, v1, v1alpha};

/// The services that every server of ours has beside its own: health, and both versions of
/// reflection.
pub const COMMON_SERVICES: [&str; 3] = [
    tonic_health::pb::health_server::SERVICE_NAME,
    tonic_reflection::pb::v1::server_reflection_server::SERVICE_NAME,
    tonic_reflection::pb::v1alpha::server_reflection_server::SERVICE_NAME,
];

/// The files of these services (`muster.v1.MasterService`) and all that they import. Other services
/// in the same files are included, so each file of ours holds one service.
pub fn files_of(services: &[&str]) -> FileDescriptorSet {
    let all = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap_or_default();
    let serves = |file: &FileDescriptorProto| {
        let names = file.service.iter().map(|service| format!("{}.{}", file.package(), service.name()));
        names.into_iter().any(|name| services.contains(&name.as_str()))
    };
    let mut wanted: Vec<String> = all.file.iter().filter(|file| serves(file)).map(|file| file.name().into()).collect();
    let by_name: BTreeMap<&str, &FileDescriptorProto> = all.file.iter().map(|file| (file.name(), file)).collect();
    let mut needed = BTreeSet::new();
    while let Some(name) = wanted.pop() {
        if let Some(file) = by_name.get(name.as_str())
            && needed.insert(name)
        {
            wanted.extend(file.dependency.iter().cloned());
        }
    }
    FileDescriptorSet { file: all.file.iter().filter(|file| needed.contains(file.name())).cloned().collect() }
}

/// `google.rpc.Status` and the details that errors carry, so that a client without these types can
/// print them.
pub fn error_details() -> FileDescriptorSet {
    FileDescriptorSet::decode(tonic_types::pb::FILE_DESCRIPTOR_SET).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn services(set: &FileDescriptorSet) -> Vec<&str> {
        set.file.iter().flat_map(|file| &file.service).map(|service| service.name()).collect()
    }

    #[test]
    fn a_server_tells_of_what_it_serves_and_of_nothing_else() {
        assert_eq!(services(&files_of(&["muster.v1.WorkerService"])), ["WorkerService"]);
        let mut master = vec!["muster.v1.AccessService", "muster.v1.MasterService", "muster.v1.ApplicationService"];
        master.push("muster.v1.WorkerLinkService");
        let set = files_of(&master);
        let mut found = services(&set);
        found.sort_unstable();
        assert_eq!(found, ["AccessService", "ApplicationService", "MasterService", "WorkerLinkService"]);
        let names: BTreeSet<_> = set.file.iter().map(|file| file.name()).collect();
        for file in &set.file {
            assert!(file.dependency.iter().all(|needed| names.contains(needed.as_str())), "{}", file.name());
        }
    }

    #[test]
    fn the_details_of_errors_are_among_the_files() {
        let set = error_details();
        let messages: Vec<_> = set.file.iter().flat_map(|file| &file.message_type).map(|m| m.name()).collect();
        for name in ["Status", "ErrorInfo", "RetryInfo", "BadRequest", "ResourceInfo", "QuotaFailure"] {
            assert!(messages.contains(&name), "{name} is not in {messages:?}");
        }
    }
}
