//! `clients/service-config.json`, which clients of other languages hand to gRPC when they make a
//! channel: it names methods that exist, and has a library repeat those alone that change nothing.
//! A mutation is repeated by its caller, who knows its request id.

use std::collections::BTreeSet;
use std::path::Path;

use prost_types::FileDescriptorSet;
use prost_types::method_options::IdempotencyLevel;
use serde_json::Value;

const CONFIG: &str = include_str!("../../../clients/service-config.json");

fn protos() -> FileDescriptorSet {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    let folder = std::fs::read_dir(root.join("muster/v1")).expect("a folder of protos");
    let files: Vec<_> = folder.map(|entry| entry.expect("an entry").path()).collect();
    protox::compile(&files, [&root]).expect("the protos compile")
}

/// Methods as `package.Service/Method`: all of them, and those that change nothing.
fn methods(set: &FileDescriptorSet) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut all, mut reads) = (BTreeSet::new(), BTreeSet::new());
    for file in &set.file {
        for service in &file.service {
            for method in &service.method {
                let name = format!("{}.{}/{}", file.package(), service.name(), method.name());
                let level = method.options.as_ref().map(prost_types::MethodOptions::idempotency_level);
                if level == Some(IdempotencyLevel::NoSideEffects) {
                    reads.insert(name.clone());
                }
                all.insert(name);
            }
        }
    }
    (all, reads)
}

/// What is wrong with a service config.
fn faults(config: &Value) -> Vec<String> {
    let (all, reads) = methods(&protos());
    let (mut faults, mut retried) = (Vec::new(), BTreeSet::new());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for entry in config["methodConfig"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let policy = &entry["retryPolicy"];
        for name in entry["name"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let name = format!("{}/{}", text(&name["service"]), text(&name["method"]));
            if !all.contains(&name) {
                faults.push(format!("{name} does not exist"));
            } else if !reads.contains(&name) && !policy.is_null() {
                faults.push(format!("{name} has side effects"));
            } else if !retried.insert(name.clone()) {
                faults.push(format!("{name} is named twice"));
            }
        }
        // Libraries refuse a policy outside of these, some of them without a word.
        if !policy["maxAttempts"].as_u64().is_some_and(|attempts| (2..=5).contains(&attempts)) {
            faults.push("maxAttempts is not from 2 to 5".to_owned());
        }
        if policy["retryableStatusCodes"] != serde_json::json!(["UNAVAILABLE"]) {
            faults.push("another code than UNAVAILABLE is retried".to_owned());
        }
    }
    faults.extend(reads.difference(&retried).map(|name| format!("{name} is not retried")));
    faults
}

fn config() -> Value {
    serde_json::from_str(CONFIG).expect("it is JSON")
}

#[test]
fn reads_alone_are_retried_and_all_of_them() {
    assert_eq!(faults(&config()), Vec::<String>::new());
}

#[test]
fn a_method_that_is_not_there_and_a_mutation_are_found() {
    let read = "muster.v1.MasterService/GetDriver is not retried";
    for (method, fault) in [("Nothing", "does not exist"), ("SubmitDriver", "has side effects")] {
        let mut config = config();
        config["methodConfig"][0]["name"][0]["method"] = method.into();
        assert_eq!(faults(&config), [format!("muster.v1.MasterService/{method} {fault}"), read.to_owned()]);
    }
}

#[test]
fn a_policy_that_libraries_refuse_or_that_repeats_an_answer_is_found() {
    let mut config = config();
    config["methodConfig"][0]["retryPolicy"]["maxAttempts"] = 6.into();
    config["methodConfig"][0]["retryPolicy"]["retryableStatusCodes"] = serde_json::json!(["UNAVAILABLE", "ABORTED"]);
    assert_eq!(faults(&config), ["maxAttempts is not from 2 to 5", "another code than UNAVAILABLE is retried"]);
}
