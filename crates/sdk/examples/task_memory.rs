//! Measures what a driver keeps for a task that waits, and for one that is done, for `muster-bench
//! tasks`: a line `NAME<tab>VALUE<tab>UNIT` for each figure. It counts what its allocator gives.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use muster_sdk::{TaskEvent, Tasks, TasksOptions};

#[global_allocator]
static ALLOCATOR: cap::Cap<std::alloc::System> = cap::Cap::new(std::alloc::System, usize::MAX);

const TASKS: u32 = 1_000_000;

static MAY_END: AtomicBool = AtomicBool::new(false);

/// The first and the last one wait until they may end: driver and executor are one process.
#[muster_sdk::function]
fn nearly_nothing(n: u32) -> u32 {
    while (n == 0 || n + 1 == TASKS) && !MAY_END.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(1));
    }
    n
}

async fn measure(tasks: Tasks) -> Result<(), Box<dyn std::error::Error>> {
    let mut events = tasks.events();
    tasks.map::<nearly_nothing>(1..1_000).await?;
    let before = ALLOCATOR.allocated();
    let per_task = || ALLOCATOR.allocated().saturating_sub(before) as f64 / f64::from(TASKS);
    let mut job = tasks.map::<nearly_nothing>(0..TASKS);
    let id = job.id();
    // The first of two cores waits; the other one runs all but the last.
    let mut pending = None;
    loop {
        let TaskEvent::JobProgressed { job, done, .. } = events.recv().await? else { continue };
        if job == id && pending.is_none() {
            pending = Some((per_task(), done));
        }
        if job == id && done == TASKS - 2 {
            break;
        }
    }
    let finished = per_task();
    MAY_END.store(true, Ordering::SeqCst);
    let results = (&mut job).await?;
    assert!(results.into_iter().eq(0..TASKS), "every result is in its place");
    let (pending, done) = pending.ok_or("no event came")?;
    let mut out = std::io::stdout();
    writeln!(out, "driver's memory of a task that waits, {} of 1,000,000 were done\t{pending}\tbytes", done)?;
    writeln!(out, "driver's memory of a task that is done, its result with it\t{finished}\tbytes")?;
    Ok(())
}

fn main() -> ExitCode {
    let options = TasksOptions { local: Some(2), progress: false, ..TasksOptions::default() };
    muster_sdk::run(options, measure)
}
