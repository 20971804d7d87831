//! Generates the wire code with protox, so that nobody needs `protoc`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost_types::method_options::IdempotencyLevel;
use prost_types::{FileDescriptorSet, MethodDescriptorProto, MethodOptions};
use protox::prost::Message as _;

const PROTO_ROOT: &str = "../../proto";

/// Messages that hold secrets: their `Debug` is written by hand, so that no log line of a request
/// can leak one.
const SECRET_MESSAGES: [&str; 10] = [
    ".muster.v1.Command",
    ".muster.v1.Launch",
    ".muster.v1.Hello",
    ".muster.v1.ExecutorRegistration",
    ".muster.v1.OutputServiceReadRequest",
    ".muster.v1.RegisterApplicationRequest",
    ".muster.v1.WatchApplicationRequest",
    ".muster.v1.RequestExecutorsRequest",
    ".muster.v1.KillExecutorsRequest",
    ".muster.v1.UnregisterApplicationRequest",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTO_ROOT}");
    let files = protos(&Path::new(PROTO_ROOT).join("muster/v1"))?;
    let mut compiler = protox::Compiler::new([PROTO_ROOT])?;
    // Comments go along: `grpcurl describe` shows them.
    compiler.include_source_info(true).include_imports(true).open_files(&files)?;
    let descriptors = compiler.file_descriptor_set();
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("muster.v1.descriptors.bin"), descriptors.encode_to_vec())?;
    // A program that decoded the descriptors to learn this would keep a megabyte for it.
    let reads = paths(&descriptors, |method| {
        let level = method.options.as_ref().map(MethodOptions::idempotency_level);
        level == Some(IdempotencyLevel::NoSideEffects)
    });
    fs::write(out.join("reads.rs"), format!("&{reads:?}"))?;
    let client_streams = paths(&descriptors, MethodDescriptorProto::client_streaming);
    fs::write(out.join("client_streams.rs"), format!("&{client_streams:?}"))?;
    fs::write(out.join("method.rs"), method_enum(&descriptors))?;

    let mut builder = tonic_prost_build::configure()
        .codec_path("crate::codec::Codec")
        // Ordered, like every collection of the domain; also makes the encoding of a message
        // unique.
        .btree_map(".muster.v1")
        // Log chunks are handed on without a copy.
        .bytes(".muster.v1")
        // The large variants of their oneofs: a heartbeat must not have the size of a hello.
        .boxed(".muster.v1.LinkRequest.message.hello")
        .boxed(".muster.v1.WorkerCommand.command.launch");
    for message in SECRET_MESSAGES {
        builder = builder.skip_debug([message]);
    }
    builder.compile_fds(descriptors)?;
    Ok(())
}

/// The `.proto` files of a folder, in order, so that the generated code does not depend on the file
/// system.
fn protos(folder: &Path) -> Result<Vec<PathBuf>, std::io::Error> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The paths of the methods for which this holds, as `/package.Service/Method`.
fn paths(set: &FileDescriptorSet, wanted: impl Fn(&MethodDescriptorProto) -> bool) -> Vec<String> {
    let mut paths = Vec::new();
    for file in &set.file {
        for service in &file.service {
            for method in service.method.iter().filter(|method| wanted(method)) {
                paths.push(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
            }
        }
    }
    paths
}

/// The methods of other packages that our servers answer: their variants, paths, and whether they
/// answer with a stream.
const OTHER_METHODS: [(&str, &str, bool); 5] = [
    ("HealthCheck", "/grpc.health.v1.Health/Check", false),
    ("HealthList", "/grpc.health.v1.Health/List", false),
    ("HealthWatch", "/grpc.health.v1.Health/Watch", true),
    ("Reflect", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", true),
    ("ReflectAlpha", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", true),
];

/// The source of an enum of all methods. A table over it names each, or it does not build.
fn method_enum(set: &FileDescriptorSet) -> String {
    let mut methods = OTHER_METHODS.map(|(name, path, streams)| (name.to_owned(), path.to_owned(), streams)).to_vec();
    for file in set.file.iter().filter(|file| file.package() == "muster.v1") {
        for service in &file.service {
            let of = service.name().trim_end_matches("Service");
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                methods.push((format!("{of}{}", method.name()), path, method.server_streaming()));
            }
        }
    }
    let each = |row: &dyn Fn(&(String, String, bool)) -> String| methods.iter().map(row).collect::<String>();
    format!(
        "/// A method that a server of ours may answer.\n\
         #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]\n\
         pub enum Method {{ {} }}\n\
         impl Method {{\n\
         /// All of them.\n\
         pub const ALL: &'static [Method] = &[{}];\n\
         /// Its path, as `/package.Service/Method`.\n\
         pub fn path(self) -> &'static str {{ match self {{ {} }} }}\n\
         /// The method of a path.\n\
         pub fn of_path(path: &str) -> Option<Method> {{ match path {{ {} _ => None }} }}\n\
         /// Whether it answers with a stream.\n\
         pub fn answers_with_a_stream(self) -> bool {{ match self {{ {} }} }}\n\
         }}\n",
        each(&|(name, path, _)| format!("#[doc = \"`{path}`\"] {name}, ")),
        each(&|(name, _, _)| format!("Method::{name}, ")),
        each(&|(name, path, _)| format!("Method::{name} => {path:?}, ")),
        each(&|(name, path, _)| format!("{path:?} => Some(Method::{name}), ")),
        each(&|(name, _, streams)| format!("Method::{name} => {streams}, ")),
    )
}
