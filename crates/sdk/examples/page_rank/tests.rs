//! The ranks equal those of a plain loop.

use std::collections::BTreeMap;

use muster_sdk::{Tasks, TasksOptions};

use crate::{DAMPING, ROUNDS, crates_below, ranks};

const GRAPH: [(&str, &[&str]); 5] =
    [("a", &["b", "c"]), ("b", &["c"]), ("c", &[]), ("d", &["c", "a", "b"]), ("e", &[])];

/// The same in one loop.
fn expected() -> BTreeMap<String, f64> {
    let mut ranks: BTreeMap<&str, f64> = GRAPH.iter().map(|(name, _)| (*name, 1.0)).collect();
    for _ in 0..ROUNDS {
        let mut received: BTreeMap<&str, f64> = GRAPH.iter().map(|(name, _)| (*name, 0.0)).collect();
        for (name, dependencies) in GRAPH {
            for dependency in dependencies {
                *received.get_mut(dependency).unwrap() += ranks[name] / dependencies.len() as f64;
            }
        }
        ranks = received.into_iter().map(|(name, sum)| (name, 1.0 - DAMPING + DAMPING * sum)).collect();
    }
    ranks.into_iter().map(|(name, rank)| (name.to_owned(), rank)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ranks_are_those_of_a_plain_loop() {
    let folder = tempfile::tempdir().unwrap();
    for (name, dependencies) in GRAPH {
        let path = folder.path().join("registry").join(name);
        std::fs::create_dir_all(&path).unwrap();
        let tables: String = dependencies.iter().map(|name| format!("[dependencies.{name}]\n")).collect();
        std::fs::write(path.join("Cargo.toml"), format!("[package]\nname = \"{name}\"\n{tables}")).unwrap();
    }
    let folders = crates_below(folder.path()).unwrap();
    assert_eq!(folders.len(), GRAPH.len());
    let tasks = Tasks::start(TasksOptions { local: Some(2), progress: false, ..TasksOptions::default() });
    let found = ranks(&tasks.await.unwrap(), &folders).collect().await.unwrap();
    let expected = expected();
    assert_eq!(found.len(), expected.len());
    for (name, rank) in found {
        assert!((rank - expected[&name]).abs() < 1e-9, "{name}: {rank}, not {}", expected[&name]);
    }
}
