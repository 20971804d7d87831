//! Programs with tasks for the tests of real processes: `task_scenarios NAME [ARGUMENT]`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use muster_sdk::{
    Broadcast, Dataset, JobOptions, SchedulerConfig, TaskContext, TaskError, TaskFunction, Tasks, TasksOptions,
};

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

/// Some pairs of each number, under keys that every number has. It leaves a mark for each run.
#[muster_sdk::function]
fn pairs(context: &TaskContext, folder: PathBuf, n: u64) -> std::io::Result<Vec<(u64, FolderNumber)>> {
    leave_mark(&folder, &format!("made-{n}-{}", context.attempt()))?;
    // What does not compress travels as many blocks.
    let mut state = n | 1;
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    };
    let text = folder.to_string_lossy().into_owned();
    Ok((0..PAIR_KEYS).map(|key| (key, (text.clone(), n, (0..PAIR_BYTES).map(|_| byte()).collect()))).collect())
}

const PAIR_KEYS: u64 = 40;
const PAIR_BYTES: usize = 60_000;

/// A folder, a number and bytes that only weigh.
type FolderNumber = (String, u64, Vec<u8>);

#[muster_sdk::function]
fn add_numbers(one: FolderNumber, other: FolderNumber) -> FolderNumber {
    (one.0, one.1 + other.1, one.2)
}

/// Adds when a file is there: until then the task reads no further.
#[muster_sdk::function]
fn add_when_released(context: &TaskContext, one: FolderNumber, other: FolderNumber) -> std::io::Result<FolderNumber> {
    let folder = PathBuf::from(&one.0);
    if !folder.join("go").exists() {
        leave_mark(&folder, &format!("reads-{}", context.partition()))?;
    }
    while !folder.join("go").exists() && !context.is_killed() {
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(add_numbers(one, other))
}

#[muster_sdk::function]
fn number_of(key: u64, value: FolderNumber) -> (u64, u64) {
    (key, value.1)
}

/// Makes pairs, and sees to it that nobody can read them: the file of the outputs stays empty.
#[muster_sdk::function]
fn pairs_that_are_lost(context: &TaskContext, folder: PathBuf, n: u64) -> std::io::Result<Vec<(u64, FolderNumber)>> {
    let scratch = PathBuf::from(std::env::var_os("MUSTER_SCRATCH_DIR").unwrap_or_default());
    std::thread::spawn(move || {
        loop {
            for kept in std::fs::read_dir(&scratch).into_iter().flatten().flatten() {
                for file in std::fs::read_dir(kept.path()).into_iter().flatten().flatten() {
                    let opened = std::fs::OpenOptions::new().write(true).open(file.path());
                    // An error means that the file is gone.
                    let _ = opened.and_then(|file| file.set_len(0));
                }
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    std::thread::sleep(Duration::from_millis(20));
    pairs(context, folder, n)
}

const PAIR_TASKS: u64 = 8;

/// Numbers by key, over two stages, summed.
fn sums<F, G>(tasks: &Tasks, folder: &Path) -> Dataset<(u64, u64)>
where
    F: TaskFunction<Arguments = (PathBuf, u64), Output = Vec<(u64, FolderNumber)>>,
    G: TaskFunction<Arguments = (FolderNumber, FolderNumber), Output = FolderNumber>,
{
    let arguments = (0..PAIR_TASKS).map(|n| (folder.to_owned(), n));
    tasks.dataset_of::<F>(arguments).reduce_by_key::<G>(4).map::<number_of>()
}

async fn total(sums: &Dataset<(u64, u64)>) -> Result<u64, AnyError> {
    Ok(sums.collect().await?.into_iter().map(|(_, sum)| sum).sum())
}

async fn until_there(path: PathBuf) {
    while !path.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
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
        "stages" => total(&sums::<pairs, add_numbers>(&tasks, Path::new(argument))).await?.to_string(),
        // The first stage is complete; what happens until there is a file, happens to its outputs.
        "stages-again" => {
            let folder = Path::new(argument);
            let sums = sums::<pairs, add_numbers>(&tasks, folder);
            let first = total(&sums).await?;
            std::fs::write(folder.join("first"), "")?;
            until_there(folder.join("go")).await;
            format!("{first} {}", total(&sums).await?)
        }
        "stages-held" => total(&sums::<pairs, add_when_released>(&tasks, Path::new(argument))).await?.to_string(),
        "stages-lost" => {
            total(&sums::<pairs_that_are_lost, add_numbers>(&tasks, Path::new(argument))).await?.to_string()
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
    if arguments.first().is_some_and(|name| name.starts_with("stages")) {
        options.output_memory = std::env::var("SCENARIO_OUTPUT_MEMORY").ok().and_then(|text| text.parse().ok());
        options.fetch_memory = 64 << 10;
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
