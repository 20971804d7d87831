//! Estimates pi on a cluster: each task throws darts at a square, and counts those in the circle.
//!
//! `cargo run --example pi` runs against `muster up`, `muster submit --wait -- ./pi` runs it in the
//! cluster, and `MUSTER_MASTER='local[2]' cargo run --example pi` needs no cluster at all.

use std::io::Write as _;
use std::process::ExitCode;

use muster_sdk::{TaskContext, TasksOptions};

const DARTS: u64 = 1_000_000;

#[muster_sdk::function]
fn hits(context: &TaskContext, seed: u64) -> u64 {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut coordinate = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    context.count("darts", DARTS);
    (0..DARTS).filter(|_| coordinate().powi(2) + coordinate().powi(2) <= 1.0).count() as u64
}

fn main() -> ExitCode {
    muster_sdk::run(TasksOptions { name: "pi".to_owned(), ..TasksOptions::default() }, async |tasks| {
        let mut job = tasks.map::<hits>(1..=100);
        let hits: u64 = (&mut job).await?.into_iter().sum();
        let darts = job.counts()["darts"];
        writeln!(std::io::stdout(), "pi is about {:.3}", 4.0 * hits as f64 / darts as f64)?;
        Ok::<(), Box<dyn std::error::Error>>(())
    })
}
