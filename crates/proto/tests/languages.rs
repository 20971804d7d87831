//! The protos suit every language that code is generated for: each file says where its code goes,
//! no name hides one of the language itself, and requests name objects in one way.

use std::path::{Path, PathBuf};

use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};

/// Types that every file of a language sees without an import: `java.lang`, the keywords and base
/// types of C#, Go and Swift, the builtins of Python and ECMAScript. Names of browsers (`Event`,
/// `Worker`) are not listed: a module hides those only where it imports ours by name.
const TAKEN_TYPES: &str = "
    Appendable AutoCloseable Boolean Byte CharSequence Character Class ClassLoader ClassValue Cloneable
    Comparable Compiler Deprecated Double Enum Error Exception Float InheritableThreadLocal Integer
    Iterable Long Math Module ModuleLayer Number Object Override Package Process ProcessBuilder
    ProcessHandle Readable Record Runnable Runtime RuntimeException RuntimePermission SafeVarargs
    ScopedValue SecurityManager Short StackTraceElement StackWalker StrictMath String StringBuffer
    StringBuilder StringTemplate SuppressWarnings System Thread ThreadGroup ThreadLocal Throwable Void
    Action Array Attribute Buffer Char Console Convert DateTime Decimal Delegate Environment Func Guid
    Index Int32 Int64 Lazy Random Range Task TimeSpan Tuple Type Uri Version
    Any Bool Character Data Date Dictionary Never Operation Optional Protocol Result Self Sequence Set
    Warning Ellipsis None True False Symbol BigInt Promise Proxy Reflect Map RegExp JSON Function Intl
    Atomics WeakMap WeakSet WeakRef Iterator NaN Infinity";

/// Names of nested types that generated code needs for itself (Java, C#, Swift).
const TAKEN_NESTED: &str = "Builder Types Type Protocol Self Extensions";

/// Field names that are keywords in Python, or that collide with a member of every generated
/// message.
const TAKEN_FIELDS: &str = "
    and as assert async await break class continue def del elif else except finally for from global if
    import in is lambda nonlocal not or pass raise return try while with yield
    constructor to_string to_json value_of clone equals merge_from write_to calculate_size descriptor parser
    descriptor_for_type default_instance_for_type serialized_size unknown_fields all_fields parser_for_type
    initialization_error_string cached_size hash_code hash description debug_description self init
    reset string proto_message proto_reflect";

/// The kinds of objects that requests name.
const KINDS: [&str; 5] = ["driver", "application", "worker", "executor", "attempt"];

fn has(list: &str, name: &str) -> bool {
    list.split_whitespace().any(|taken| taken == name)
}

/// Every file of proto/, stored records as well as the wire.
fn protos() -> FileDescriptorSet {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    let mut files = Vec::new();
    collect(&root.join("muster"), &mut files);
    assert!(files.len() >= 13, "not all protos were found: {files:?}");
    let mut set = protox::compile(&files, [&root]).expect("the protos compile");
    set.file.retain(|file| file.package().starts_with("muster."));
    set
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of protos") {
        let path = entry.expect("an entry").path();
        match path.extension() {
            None => collect(&path, files),
            Some(extension) if extension == "proto" => files.push(path),
            Some(_) => {}
        }
    }
}

/// The faults of a set of files.
fn faults(set: &FileDescriptorSet) -> Vec<String> {
    let mut faults = Vec::new();
    for file in &set.file {
        faults.extend(option_faults(file));
        faults.extend(package_faults(file, set));
        faults.extend(name_faults(file));
        faults.extend(request_faults(file));
    }
    faults
}

/// Options that are missing, or that a generator would refuse.
fn option_faults(file: &FileDescriptorProto) -> Vec<String> {
    let options = file.options.clone().unwrap_or_default();
    let capital = |name: &str| name.starts_with(|first: char| first.is_ascii_uppercase());
    let checks = [
        ("go_package", options.go_package().contains('/') && options.go_package().contains(';')),
        ("java_package", options.java_package() == file.package()),
        ("java_multiple_files", options.java_multiple_files()),
        ("java_outer_classname", options.java_outer_classname().ends_with("Proto")),
        ("csharp_namespace", options.csharp_namespace().split('.').all(capital)),
        // Apple reserves shorter prefixes.
        ("objc_class_prefix", options.objc_class_prefix().len() >= 3 && capital(options.objc_class_prefix())),
    ];
    let wrong = checks.into_iter().filter(|(_, right)| !right);
    wrong.map(|(option, _)| format!("{}: {option} is missing or unfit", file.name())).collect()
}

/// Reports files of one package whose code goes to different places.
fn package_faults(file: &FileDescriptorProto, set: &FileDescriptorSet) -> Vec<String> {
    let place = |file: &FileDescriptorProto| {
        let options = file.options.clone().unwrap_or_default();
        [options.go_package, options.java_package, options.csharp_namespace, options.objc_class_prefix]
    };
    let others = set.file.iter().filter(|other| other.package() == file.package() && place(other) != place(file));
    others.map(|other| format!("{}: goes elsewhere than {}", file.name(), other.name())).collect()
}

/// Names that hide a name of a language, or are hidden by one.
fn name_faults(file: &FileDescriptorProto) -> Vec<String> {
    let messages = file.message_type.iter().map(|message| message.name());
    let enums = file.enum_type.iter().map(|kind| kind.name());
    let services = file.service.iter().map(|service| service.name());
    let outer = file.options.iter().map(|options| options.java_outer_classname());
    let types = messages.chain(enums).chain(services).chain(outer);
    let mut faults: Vec<String> = types.filter(|name| has(TAKEN_TYPES, name)).map(str::to_owned).collect();
    for message in &file.message_type {
        faults.extend(member_faults(message));
    }
    faults.into_iter().map(|name| format!("{}: {name} is a language's own", file.name())).collect()
}

fn member_faults(message: &DescriptorProto) -> Vec<String> {
    let name = message.name();
    let nested = message.nested_type.iter().map(|nested| nested.name());
    let nested = nested.chain(message.enum_type.iter().map(|kind| kind.name()));
    let mut faults: Vec<String> =
        nested.filter(|nested| has(TAKEN_NESTED, nested)).map(|nested| format!("{name}.{nested}")).collect();
    let fields = message.field.iter().map(|field| field.name());
    faults.extend(fields.filter(|field| has(TAKEN_FIELDS, field)).map(|field| format!("{name}.{field}")));
    for nested in &message.nested_type {
        faults.extend(member_faults(nested).into_iter().map(|fault| format!("{name}.{fault}")));
    }
    faults
}

/// Requests name an object by its kind: `worker_id`, `worker_ids`, and `worker_uid` where only a
/// uid will do. Attempt numbers are no names.
fn request_faults(file: &FileDescriptorProto) -> Vec<String> {
    let inputs = file.service.iter().flat_map(|service| &service.method).map(|method| method.input_type());
    let inputs: Vec<&str> = inputs.map(|input| input.rsplit('.').next().unwrap_or(input)).collect();
    let requests = file.message_type.iter().filter(|message| inputs.contains(&message.name()));
    let mut faults = Vec::new();
    for request in requests {
        for field in &request.field {
            let name = field.name();
            let bare = ["id", "ids", "name", "names", "uid", "uids"].contains(&name);
            let text = field.r#type() == Type::String;
            let number = field.r#type() != Type::Message && !name.starts_with("attempt");
            let kind = KINDS.iter().any(|kind| name == *kind || name.strip_suffix('s') == Some(kind));
            if bare || (kind && (text || number)) {
                faults.push(format!("{}: {}.{name} does not say what it names", file.name(), request.name()));
            }
        }
    }
    faults
}

/// The file of this name, for a test to change.
fn file<'a>(set: &'a mut FileDescriptorSet, name: &str) -> &'a mut FileDescriptorProto {
    set.file.iter_mut().find(|file| file.name() == name).expect("a file of the protos")
}

fn rename_field(set: &mut FileDescriptorSet, path: &str, message: &str, from: &str, to: &str) {
    let message = file(set, path).message_type.iter_mut().find(|found| found.name() == message).expect("a message");
    let field = message.field.iter_mut().find(|found| found.name() == from).expect("a field");
    field.name = Some(to.to_owned());
}

#[test]
fn the_protos_fit_every_language() {
    assert_eq!(faults(&protos()), Vec::<String>::new());
}

#[test]
fn an_option_that_is_missing_in_any_file_is_found() {
    let whole = protos();
    for index in 0..whole.file.len() {
        for option in 0..6 {
            let mut set = whole.clone();
            let options = set.file[index].options.as_mut().expect("options");
            match option {
                0 => options.go_package = None,
                1 => options.java_package = None,
                2 => options.java_multiple_files = None,
                3 => options.java_outer_classname = None,
                4 => options.csharp_namespace = None,
                _ => options.objc_class_prefix = None,
            }
            assert!(!option_faults(&set.file[index]).is_empty(), "{option} of {}", set.file[index].name());
        }
    }
}

#[test]
fn a_file_that_goes_elsewhere_than_its_package_is_found() {
    let mut set = protos();
    file(&mut set, "muster/v1/driver.proto").options.as_mut().expect("options").go_package = Some("other/v1;v1".into());
    assert!(!faults(&set).is_empty());
}

#[test]
fn a_name_that_hides_a_languages_own_is_found() {
    for taken in ["Process", "Record", "Module", "Error", "Task"] {
        let mut set = protos();
        file(&mut set, "muster/v1/process.proto").message_type[0].name = Some(taken.to_owned());
        assert_eq!(faults(&set), [format!("muster/v1/process.proto: {taken} is a language's own")]);
    }
    let mut set = protos();
    let options = file(&mut set, "muster/v1/process.proto").options.as_mut().expect("options");
    options.java_outer_classname = Some("Process".into());
    assert_eq!(faults(&set).len(), 2, "as a name and as an option: {:?}", faults(&set));
    for taken in ["from", "class", "serialized_size", "constructor"] {
        let mut set = protos();
        rename_field(&mut set, "muster/v1/driver.proto", "Driver", "uid", taken);
        assert_eq!(faults(&set), [format!("muster/v1/driver.proto: Driver.{taken} is a language's own")]);
    }
}

#[test]
fn a_request_that_names_a_thing_in_another_way_is_found() {
    let master = "muster/v1/master_service.proto";
    for (path, message, from, to) in [
        (master, "ReadLogRequest", "driver_id", "id"),
        (master, "GetWorkerRequest", "worker_id", "worker"),
        (master, "WatchEventsRequest", "worker_ids", "workers"),
        (master, "EndQuarantinedRequest", "attempt_id", "attempt"),
        (master, "ForgetAttemptRequest", "attempt_id", "attempt"),
        ("muster/v1/worker_service.proto", "WorkerServiceReadLogRequest", "driver_uid", "uid"),
        ("muster/v1/application_service.proto", "KillExecutorsRequest", "executor_ids", "executors"),
    ] {
        let mut set = protos();
        rename_field(&mut set, path, message, from, to);
        assert_eq!(faults(&set), [format!("{path}: {message}.{to} does not say what it names")]);
    }
}
