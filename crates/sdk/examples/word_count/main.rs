//! Counts the words of a folder on a cluster, in two stages of tasks: the first counts those of
//! some files each, the second adds up what was counted of the same word.
//!
//! `cargo run --example word_count FOLDER` runs against `muster up`, `muster submit --wait --
//! ./word_count FOLDER` runs it in the cluster, and `MUSTER_MASTER='local[2]'` needs no cluster at
//! all. All workers must see the folder.

mod corpus;
mod count;
mod options;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use count::{WordCounts, commonest};
use muster_sdk::{Tasks, TasksOptions};
use options::Options;

/// Shares per executor: small enough that one slow or lost executor delays the others little.
const SHARES_PER_EXECUTOR: usize = 4;

/// The words of some files.
#[muster_sdk::function]
fn count_words(files: Vec<PathBuf>) -> std::io::Result<Vec<(String, u64)>> {
    let mut counts = WordCounts::default();
    for file in files {
        counts.add_file(&mut std::fs::read(file)?);
    }
    Ok(counts.into_pairs())
}

#[muster_sdk::function]
fn add(one: u64, other: u64) -> u64 {
    one + other
}

/// Counts, and returns the most frequent words.
async fn run(tasks: &Tasks, options: &Options) -> Result<Vec<(String, u64)>, Box<dyn std::error::Error>> {
    // Executors have other work directories.
    let folder = options.folder.canonicalize()?;
    let files = corpus::files(&folder, &options.suffix)?;
    let (number, size) = (files.len(), files.iter().map(|(_, size)| size).sum::<u64>());
    writeln!(std::io::stderr(), "{number} files, {size} bytes, {} executors", options.executors)?;
    let shares = corpus::shares(files, options.executors as usize * SHARES_PER_EXECUTOR);
    let counts = tasks.dataset_of::<count_words>(shares).reduce_by_key::<add>(options.executors);
    Ok(commonest(counts.collect().await?, options.top))
}

fn main() -> ExitCode {
    // An executor has no command line.
    if let Some(code) = muster_sdk::run_if_executor() {
        return code;
    }
    let options = match options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            // An error means that nobody reads it.
            let _ = writeln!(std::io::stderr(), "error: {error}\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    let asked = TasksOptions {
        name: "word_count".to_owned(),
        executors: options.executors,
        executor_cores: options.cores,
        executor_memory: options.memory,
        ..TasksOptions::default()
    };
    muster_sdk::run(asked, async |tasks| {
        let commonest = run(&tasks, &options).await?;
        let mut out = std::io::stdout().lock();
        for (word, count) in commonest {
            writeln!(out, "{count:>9} {word}")?;
        }
        Ok::<(), Box<dyn std::error::Error>>(out.flush()?)
    })
}

#[cfg(test)]
mod tests;
