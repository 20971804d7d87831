//! Programs with tasks for the tests of real processes: `task_scenarios NAME [ARGUMENT]`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use muster_sdk::{Broadcast, JobOptions, SchedulerConfig, TaskContext, TaskError, Tasks, TasksOptions};

type AnyError = Box<dyn std::error::Error>;

/// Leaves a file that names this executor, so that a test finds it. Its process id would say
/// nothing outside of its namespace.
fn leave_mark(folder: &Path, name: &str) -> std::io::Result<()> {
    let own = |variable| std::env::var(variable).unwrap_or_default();
    let executor = format!("{}.{}", own("MUSTER_APPLICATION"), own("MUSTER_EXECUTOR_ID"));
    std::fs::write(folder.join(format!("{name}.{executor}")), "")
}

#[muster_sdk::function]
fn square(n: u64) -> u64 {
    n * n
}

#[muster_sdk::function]
fn sum_of(context: &TaskContext, values: Broadcast<Vec<u64>>) -> Result<u64, TaskError> {
    context.count("sums", 1);
    Ok(values.get(context)?.iter().sum())
}

/// Waits until a file is there; then it is done.
#[muster_sdk::function]
fn wait_for(context: &TaskContext, folder: PathBuf, name: String, n: u64) -> Result<u64, std::io::Error> {
    leave_mark(&folder, &format!("waits-{n}"))?;
    while !folder.join(&name).exists() && !context.is_killed() {
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(n)
}

#[muster_sdk::function]
fn fail(n: u64) -> Result<u64, String> {
    let _ = writeln!(std::io::stderr(), "these are the last words");
    Err(format!("{n} is a number that fails"))
}

#[muster_sdk::function]
fn panics(n: u64) -> u64 {
    assert!(n != 3, "three is too many");
    n
}

#[muster_sdk::function]
#[expect(clippy::disallowed_methods, reason = "it plays a program that ends its executor")]
fn exits(n: u64) -> u64 {
    let _ = writeln!(std::io::stderr(), "this executor ends itself");
    std::process::exit(if n == 3 { 42 } else { 0 })
}

/// Never looks whether it was killed.
#[muster_sdk::function]
fn hang(folder: PathBuf) -> Result<(), std::io::Error> {
    leave_mark(&folder, "hangs")?;
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

#[muster_sdk::function]
fn zeros(length: usize) -> Vec<u8> {
    vec![0; length]
}

/// Tasks that wait for a file in a folder.
async fn until_released(tasks: &Tasks, folder: PathBuf, count: u64) -> Result<u64, AnyError> {
    let arguments = (0..count).map(|n| (folder.clone(), "go".to_owned(), n));
    Ok(tasks.map::<wait_for>(arguments).await?.into_iter().sum())
}

async fn scenario(tasks: Tasks, name: &str, argument: &str) -> Result<String, AnyError> {
    let number = || argument.parse::<u64>();
    Ok(match name {
        "square" => tasks.map::<square>(0..number()?).await?.iter().sum::<u64>().to_string(),
        "submit" => {
            let jobs: Vec<_> = (0..number()?).map(|n| tasks.submit::<square>(n)).collect();
            let mut sum = 0;
            for job in jobs {
                sum += job.await?;
            }
            sum.to_string()
        }
        "broadcast" => {
            let values = tasks.broadcast(&(0..number()?).collect::<Vec<u64>>())?;
            let mut job = tasks.map::<sum_of>([values; 20]);
            let sums = (&mut job).await?;
            format!("{} {}", sums.iter().sum::<u64>(), job.counts()["sums"])
        }
        "released" => until_released(&tasks, argument.into(), 4).await?.to_string(),
        "fail" => tasks.map::<fail>(0..number()?).await?.len().to_string(),
        "panic" => tasks.map::<panics>(0..number()?).await?.len().to_string(),
        "exit" => tasks.submit::<exits>(number()?).await?.to_string(),
        "large" => {
            let lengths = [number()? as usize; 6];
            tasks.map::<zeros>(lengths).await?.iter().map(Vec::len).sum::<usize>().to_string()
        }
        "hang" => {
            let job = tasks.submit::<hang>(argument.into());
            while std::fs::read_dir(argument)?.next().is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            drop(job);
            // The only executor is replaced, and the next one runs this.
            tasks.submit::<square>(4).await?.to_string()
        }
        "cancel" => {
            let grouped = tasks.with(JobOptions { group: Some("g".into()), ..JobOptions::default() });
            let job = grouped.map::<wait_for>((0..4).map(|n| (argument.into(), "never".to_owned(), n)));
            while std::fs::read_dir(argument)?.next().is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            tasks.cancel_group("g", false, "enough");
            let error = job.await.err().ok_or("it was not cancelled")?;
            let after = tasks.submit::<square>(4).await?;
            format!("{error}; {after}")
        }
        "none" => tasks.map::<square>([]).await?.len().to_string(),
        _ => return Err(format!("no scenario is named {name}").into()),
    })
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut scheduler = SchedulerConfig::default();
    let mut options = TasksOptions { name: "scenario".to_owned(), executor_memory: 128 << 20, ..Default::default() };
    if arguments.first().is_some_and(|name| name == "hang") {
        options.executors = 1;
        scheduler.kill_timeout = Some(Duration::from_millis(500));
    }
    // Where workers have the program already, none of them has to fetch and hash a large build.
    options.executor_program = std::env::var("SCENARIO_PROGRAM").ok();
    options.scheduler = scheduler;
    muster_sdk::run(options, async |tasks| {
        let (name, argument) = (arguments.first(), arguments.get(1));
        let began = Instant::now();
        let name = name.ok_or("a scenario is missing")?;
        let said = scenario(tasks, name, argument.map_or("", String::as_str)).await?;
        let _ = writeln!(std::io::stderr(), "after {:?}", began.elapsed());
        writeln!(std::io::stdout(), "result: {said}")?;
        Ok::<(), AnyError>(())
    })
}
