//! The index of descriptor files by name and by symbol.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use prost::Message as _;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet};

use super::{COMMON_SERVICES, error_details, files_of};

/// An index that the first request makes. It takes about a megabyte, and most servers are never
/// asked.
pub type LazyIndex = LazyLock<ReflectionIndex, Box<dyn FnOnce() -> ReflectionIndex + Send>>;

/// The names by which the protos of all the world import these files. The crates that bring them
/// along were generated beside the files and so name them without their folders.
const CANONICAL: [(&str, &str); 5] = [
    ("status.proto", "google/rpc/status.proto"),
    ("error_details.proto", "google/rpc/error_details.proto"),
    ("health.proto", "grpc/health/v1/health.proto"),
    ("reflection_v1.proto", "grpc/reflection/v1/reflection.proto"),
    ("reflection_v1alpha.proto", "grpc/reflection/v1alpha/reflection.proto"),
];

/// The files and services that one server reflects. Both versions of the protocol use the same
/// index.
#[derive(Debug)]
pub struct ReflectionIndex {
    services: BTreeSet<String>,
    files: Vec<Vec<u8>>,
    names: BTreeMap<String, usize>,
    symbols: BTreeMap<String, usize>,
}

impl ReflectionIndex {
    /// The index of a server with these services of ours (`muster.v1.MasterService`) and the common
    /// ones, made when it is first needed.
    pub fn lazy(services: &'static [&'static str]) -> LazyIndex {
        LazyLock::new(Box::new(|| ReflectionIndex::serving(services)))
    }

    /// The same, made now.
    fn serving(services: &[&str]) -> ReflectionIndex {
        let encoded = [
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ];
        // The builds of these crates made the descriptors, and a test reads all of them.
        let common = encoded.map(|set| FileDescriptorSet::decode(set).unwrap_or_default());
        let mut index = ReflectionIndex {
            services: services.iter().chain(&COMMON_SERVICES).map(|name| (*name).to_owned()).collect(),
            files: Vec::new(),
            names: BTreeMap::new(),
            symbols: BTreeMap::new(),
        };
        for file in [files_of(services), error_details()].into_iter().chain(common).flat_map(|set| set.file) {
            index.add(canonical(file));
        }
        index
    }

    /// Full names of the services, in order.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.services.iter().map(String::as_str)
    }

    /// The encoded file of that name.
    pub fn file_named(&self, name: &str) -> Option<&[u8]> {
        self.names.get(name).and_then(|at| self.files.get(*at)).map(Vec::as_slice)
    }

    /// The encoded file that defines a message, an enum or one of its values, a field, a service or
    /// a method, by its full name.
    pub fn file_containing(&self, symbol: &str) -> Option<&[u8]> {
        self.symbols.get(symbol).and_then(|at| self.files.get(*at)).map(Vec::as_slice)
    }

    /// Adds a file, unless it was added from another set.
    fn add(&mut self, file: FileDescriptorProto) {
        if self.names.contains_key(file.name()) {
            return;
        }
        let at = self.files.len();
        self.files.push(file.encode_to_vec());
        self.names.insert(file.name().to_owned(), at);
        let mut symbols = Vec::new();
        for message in &file.message_type {
            message_symbols(file.package(), message, &mut symbols);
        }
        for kind in &file.enum_type {
            enum_symbols(file.package(), kind, &mut symbols);
        }
        for service in &file.service {
            let name = joined(file.package(), service.name());
            symbols.extend(service.method.iter().map(|method| joined(&name, method.name())));
            symbols.push(name);
        }
        self.symbols.extend(symbols.into_iter().map(|symbol| (symbol, at)));
    }
}

/// The file with the names that others know for it and for what it imports.
fn canonical(mut file: FileDescriptorProto) -> FileDescriptorProto {
    for name in file.name.iter_mut().chain(&mut file.dependency) {
        if let Some((_, known)) = CANONICAL.iter().find(|(base, _)| base == name) {
            *name = (*known).to_owned();
        }
    }
    file
}

fn joined(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") }
}

fn message_symbols(scope: &str, message: &DescriptorProto, symbols: &mut Vec<String>) {
    let name = joined(scope, message.name());
    symbols.extend(message.field.iter().map(|field| joined(&name, field.name())));
    symbols.extend(message.oneof_decl.iter().map(|oneof| joined(&name, oneof.name())));
    for nested in &message.nested_type {
        message_symbols(&name, nested, symbols);
    }
    for kind in &message.enum_type {
        enum_symbols(&name, kind, symbols);
    }
    symbols.push(name);
}

/// The values of an enum are in the scope of the enum, as in C++.
fn enum_symbols(scope: &str, kind: &EnumDescriptorProto, symbols: &mut Vec<String>) {
    symbols.extend(kind.value.iter().map(|value| joined(scope, value.name())));
    symbols.push(joined(scope, kind.name()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_is_needed_is_there_once_under_the_name_of_its_package() {
        for service in ["muster.v1.MasterService", "muster.v1.WorkerService"] {
            let index = ReflectionIndex::serving(&[service]);
            for file in &index.files {
                let file = FileDescriptorProto::decode(file.as_slice()).expect("it was encoded here");
                let folder = format!("{}/", file.package().replace('.', "/"));
                assert!(file.name().starts_with(&folder), "{} holds {}", file.name(), file.package());
                for needed in &file.dependency {
                    assert!(index.file_named(needed).is_some(), "{needed}, which {} imports", file.name());
                }
            }
        }
    }

    /// What the table names is there, so that no line of it outlives a change of the crates.
    #[test]
    fn the_files_of_the_world_are_found_by_their_names_alone() {
        let index = ReflectionIndex::serving(&["muster.v1.MasterService"]);
        for (base, name) in CANONICAL {
            assert!(index.file_named(name).is_some(), "{name}");
            assert!(index.file_named(base).is_none(), "{base}");
        }
    }

    /// A service of ours in a file that another service's file imports is reflected but not listed;
    /// of all others, nothing is left out.
    #[test]
    fn what_is_listed_is_what_the_files_define() {
        let index = ReflectionIndex::serving(&["muster.v1.WorkerService"]);
        let files = index.files.iter().map(|file| FileDescriptorProto::decode(file.as_slice()).expect("a file"));
        let defined: BTreeSet<String> = files
            .flat_map(|file| file.service.iter().map(|s| joined(file.package(), s.name())).collect::<Vec<_>>())
            .collect();
        assert_eq!(index.services, defined);
    }

    #[test]
    fn each_kind_of_symbol_is_found_and_no_other() {
        let index = ReflectionIndex::serving(&["muster.v1.MasterService"]);
        for symbol in [
            "muster.v1.MasterService",
            "muster.v1.MasterService.GetDriver",
            "muster.v1.Driver",
            "muster.v1.Driver.uid",
            "muster.v1.Driver.State",
            "muster.v1.Driver.STATE_LOST",
            "muster.v1.ReadLogRequest.subject",
            "google.rpc.Status",
            "google.rpc.ErrorInfo",
            "google.rpc.BadRequest.FieldViolation",
            "google.protobuf.Any",
            "google.protobuf.Duration",
            "grpc.health.v1.Health.Watch",
        ] {
            assert!(index.file_containing(symbol).is_some(), "{symbol}");
        }
        for symbol in ["", "muster", "muster.v1", "muster.v1.WorkerService", "muster.v1.Nothing", ".muster.v1.Driver"] {
            assert!(index.file_containing(symbol).is_none(), "{symbol}");
        }
        assert!(index.file_named("muster/v1/worker_service.proto").is_none());
    }
}
