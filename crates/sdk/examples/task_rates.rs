//! Measures tasks that do nothing on the executors of a cluster, for `muster-bench tasks`: a line
//! `NAME<tab>VALUE<tab>UNIT` for each figure.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use muster_sdk::{TaskEvent, Tasks, TasksOptions};

const EXECUTORS: u32 = 2;
const TASKS: u32 = 100_000;
const ROUNDS: usize = 7;
const ROUND_TRIPS: usize = 3_000;

#[muster_sdk::function]
fn nothing(_n: u32) {}

fn figure(name: &str, value: f64, unit: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{name}\t{value}\t{unit}")
}

async fn measure(tasks: Tasks, began: Instant) -> Result<(), Box<dyn std::error::Error>> {
    let mut events = tasks.events();
    let mut executors = 0;
    while executors < EXECUTORS {
        executors += u32::from(matches!(events.recv().await?, TaskEvent::ExecutorAdded { .. }));
    }
    drop(events);
    figure("tasks, start of the driver until 2 executors are ready", began.elapsed().as_secs_f64(), "s")?;
    tasks.map::<nothing>(0..1_000).await?;
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let results = tasks.map::<nothing>(0..TASKS).await?;
        rates.push(results.len() as f64 / began.elapsed().as_secs_f64());
    }
    rates.sort_by(f64::total_cmp);
    figure("tasks that do nothing, 100,000 in a stage, p50 of 7", rates[ROUNDS / 2], "per second")?;
    let mut trips = Vec::new();
    for _ in 0..ROUND_TRIPS {
        let began = Instant::now();
        tasks.submit::<nothing>(0).await?;
        trips.push(began.elapsed().as_secs_f64() * 1e3);
    }
    trips.sort_by(f64::total_cmp);
    figure("one task, round trip, p50", trips[ROUND_TRIPS / 2], "ms")?;
    figure("one task, round trip, p99", trips[ROUND_TRIPS * 99 / 100], "ms")?;
    Ok(())
}

fn main() -> ExitCode {
    let options = TasksOptions {
        name: "rates".to_owned(),
        executors: EXECUTORS,
        executor_memory: 64 << 20,
        progress: false,
        ..TasksOptions::default()
    };
    let began = Instant::now();
    muster_sdk::run(options, async |tasks| measure(tasks, began).await)
}
