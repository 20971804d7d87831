//! Ranks the crates that Cargo has unpacked on this machine by PageRank: a crate is as important as
//! those that depend on it.
//!
//! `cargo run --example page_rank` runs against `muster up`, and `MUSTER_MASTER='local[2]' cargo
//! run --example page_rank` needs no cluster. `page_rank FOLDER` takes another folder of crates
//! than Cargo's registry, which all workers must see.

mod manifest;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use muster_sdk::{Dataset, Tasks, TasksOptions};

type AnyError = Box<dyn std::error::Error>;

const ROUNDS: usize = 10;
const PARTITIONS: u32 = 4;
const SHOWN: usize = 10;
/// The part of its rank that a crate hands on.
const DAMPING: f64 = 0.85;

/// The crates of some folders, with the names of those that they depend on.
#[muster_sdk::function]
fn dependencies(folders: Vec<PathBuf>) -> Vec<(String, Vec<String>)> {
    // A folder without a manifest is no crate.
    folders.iter().filter_map(|folder| manifest::read(&folder.join("Cargo.toml"))).collect()
}

/// Several versions of a crate are one.
#[muster_sdk::function]
fn union(one: Vec<String>, other: Vec<String>) -> Vec<String> {
    let mut all = [one, other].concat();
    all.sort();
    all.dedup();
    all
}

#[muster_sdk::function]
fn first_rank(name: String, _dependencies: Vec<String>) -> (String, f64) {
    (name, 1.0)
}

/// What a crate hands on to each of its dependencies. It hands nothing to itself, so that it stays
/// in the list.
#[muster_sdk::function]
fn hand_on(name: String, (dependencies, rank): (Vec<String>, f64)) -> Vec<(String, f64)> {
    let each = rank / dependencies.len().max(1) as f64;
    let handed = dependencies.into_iter().map(|dependency| (dependency, each));
    handed.chain([(name, 0.0)]).collect()
}

#[muster_sdk::function]
fn add(one: f64, other: f64) -> f64 {
    one + other
}

#[muster_sdk::function]
fn damped(name: String, received: f64) -> (String, f64) {
    (name, 1.0 - DAMPING + DAMPING * received)
}

/// The ranks of the crates in these folders.
fn ranks(tasks: &Tasks, folders: &[PathBuf]) -> Dataset<(String, f64)> {
    let each = folders.len().div_ceil(PARTITIONS as usize).max(1);
    let shares = folders.chunks(each).map(<[PathBuf]>::to_vec);
    let links = tasks.dataset_of::<dependencies>(shares).reduce_by_key::<union>(PARTITIONS);
    let mut ranks = links.map::<first_rank>();
    for _ in 0..ROUNDS {
        let handed = links.join(&ranks, PARTITIONS).flat_map::<hand_on>();
        ranks = handed.reduce_by_key::<add>(PARTITIONS).map::<damped>();
    }
    ranks
}

/// The folders of crates below one: those of Cargo are in one folder for each registry.
fn crates_below(folder: &std::path::Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.join("Cargo.toml").exists() {
            found.push(path);
        } else if path.is_dir() {
            let inner = std::fs::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
            found.extend(inner.into_iter().map(|entry| entry.path()).filter(|path| path.is_dir()));
        }
    }
    found.sort();
    Ok(found)
}

/// Where Cargo unpacks crates.
fn registry() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    home.map(|home| home.join("registry/src"))
}

fn main() -> ExitCode {
    let options = TasksOptions { name: "page_rank".to_owned(), ..TasksOptions::default() };
    muster_sdk::run(options, async |tasks| {
        let folder = std::env::args_os().nth(1).map(PathBuf::from).or_else(registry);
        let folders = crates_below(&folder.ok_or("a folder is missing")?.canonicalize()?)?;
        let mut ranks = ranks(&tasks, &folders).collect().await?;
        ranks.sort_by(|one, other| other.1.total_cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        let mut out = std::io::stdout().lock();
        for (name, rank) in ranks.iter().take(SHOWN) {
            writeln!(out, "{rank:>9.3} {name}")?;
        }
        Ok::<(), AnyError>(out.flush()?)
    })
}

#[cfg(test)]
mod tests;
