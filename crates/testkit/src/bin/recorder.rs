//! `muster-recorder`: a driver that records its own life, so that a checker outside Muster can tell
//! what ran, how often, and whether two copies overlapped.
//!
//! It appends `start ID ATTEMPT PID`, then `tick …` for as long as it executes, then `end …` to
//! `DIR/lives`, each line in one write, so that the order of the lines is the order of what
//! happened. It also holds an exclusive lock on `DIR/locks/ID` for its whole life; a copy that
//! finds it held writes `locked`.

use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

/// A driver that writes down its own life.
#[derive(Debug, Parser)]
struct RecorderArguments {
    /// Folder of what is written.
    dir: PathBuf,
    /// How long it runs, in milliseconds.
    #[arg(long, default_value_t = 0)]
    millis: u64,
    /// Runs until this file exists, however long that takes.
    #[arg(long)]
    until: Option<PathBuf>,
    /// Its exit code.
    #[arg(long, default_value_t = 0)]
    exit: u8,
}

/// Time between two ticks: a shorter overlap may be missed.
const TICK: Duration = Duration::from_millis(20);

fn main() -> std::io::Result<ExitCode> {
    let arguments = RecorderArguments::parse();
    let reported = |name| std::env::var(name).unwrap_or_else(|_| "unknown".to_owned());
    let me = format!("{} {} {}", reported("MUSTER_DRIVER"), reported("MUSTER_ATTEMPT"), std::process::id());
    let mut lives = File::options().create(true).append(true).open(arguments.dir.join("lives"))?;
    let lock = lock(&arguments.dir, &reported("MUSTER_DRIVER"))?;
    let mut say = |what: &str| lives.write_all(format!("{what} {me}\n").as_bytes());
    if lock.is_none() {
        say("locked")?;
    }
    say("start")?;
    let (begin, span) = (Instant::now(), Duration::from_millis(arguments.millis));
    let is_over = || match &arguments.until {
        Some(file) => file.exists(),
        None => begin.elapsed() >= span,
    };
    while !is_over() {
        std::thread::sleep(TICK);
        say("tick")?;
    }
    say("end")?;
    Ok(ExitCode::from(arguments.exit))
}

/// The lock of a driver; `None` when another copy holds it.
fn lock(dir: &Path, id: &str) -> std::io::Result<Option<File>> {
    let locks = dir.join("locks");
    std::fs::create_dir_all(&locks)?;
    let file = File::options().create(true).append(true).open(locks.join(id))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
