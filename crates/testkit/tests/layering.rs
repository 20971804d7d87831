//! The crate graph is the architecture: an edge points only to a lower layer, and siblings never
//! see each other.

use std::collections::{BTreeMap, BTreeSet};

/// Which of our crates each crate may depend on: the table of ARCHITECTURE.md.
const MAY_SEE: [(&str, &[&str]); 21] = [
    ("types", &[]),
    ("units", &[]),
    ("config", &[]),
    ("os", &[]),
    ("tls", &["os", "types"]),
    ("core", &["types"]),
    ("agent", &["types"]),
    ("dag", &["types"]),
    ("proto", &["types", "units"]),
    ("traces", &["types"]),
    ("store", &["os", "types"]),
    ("client", &["proto", "tls", "types"]),
    ("master", &["config", "core", "store", "proto", "os", "tls", "traces", "types", "units"]),
    ("worker", &["agent", "config", "proto", "os", "tls", "traces", "types", "units"]),
    ("runner", &["agent", "os", "types", "units"]),
    ("cli", &["client", "os", "tls", "units"]),
    ("sdk-macros", &[]),
    ("sdk", &["client", "dag", "proto", "sdk-macros", "types"]),
    ("python", &["client", "sdk"]),
    ("testenv", &[]),
    ("testkit", &["agent", "client", "core", "os", "proto", "sdk", "store", "testenv", "tls", "types"]),
];

/// What the pure crates must not depend on: a runtime, timers, channels, files, logs.
const IMPURE: [&str; 8] = ["tokio", "tonic", "tower", "hyper", "tracing", "rustix", "libc", "getrandom"];

fn dependencies() -> BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> {
    let metadata = cargo_metadata::MetadataCommand::new().no_deps().other_options(["--offline".into()]).exec();
    let metadata = metadata.expect("cargo describes the workspace");
    let own = |name: &str| name.strip_prefix("muster-").map(str::to_owned);
    metadata
        .packages
        .iter()
        .map(|package| {
            let normal = package.dependencies.iter().filter(|d| d.kind == cargo_metadata::DependencyKind::Normal);
            let (ours, others): (Vec<_>, Vec<_>) = normal.partition(|d| own(&d.name).is_some());
            let name = own(&package.name).expect("every package carries the prefix");
            let ours = ours.iter().filter_map(|d| own(&d.name)).collect();
            (name, (ours, others.iter().map(|d| d.name.clone()).collect()))
        })
        .collect()
}

#[test]
fn every_edge_points_to_a_lower_layer() {
    let allowed: BTreeMap<_, _> = MAY_SEE.into_iter().collect();
    for (name, (ours, _)) in dependencies() {
        let may_see = allowed.get(name.as_str()).unwrap_or_else(|| panic!("{name} is in no layer"));
        for edge in &ours {
            assert!(may_see.contains(&edge.as_str()), "{name} must not see {edge}");
        }
    }
}

#[test]
fn the_vocabulary_sees_only_std_and_pure_crates_do_nothing_but_decide() {
    let all = dependencies();
    for name in ["types", "units"] {
        assert!(all[name].1.is_empty(), "{name} sees std alone");
    }
    for name in ["core", "agent", "dag"] {
        for dependency in &all[name].1 {
            assert!(!IMPURE.contains(&dependency.as_str()), "{name} is pure and must not use {dependency}");
        }
    }
}

#[test]
fn nothing_that_ships_depends_on_the_testkit() {
    for (name, (ours, _)) in dependencies() {
        assert!(!ours.contains("testkit"), "{name} depends on testkit");
    }
}
