//! The command line: muster.
//!
//! [`run`] reads the arguments, does what they say and gives the code to exit with. Everything that
//! `muster` prints for programs goes to standard output; everything that it tells people beside
//! that goes to standard error.

mod args;
mod commands;
mod complete;
mod contexts;
mod exit;
mod failure;
mod master;
mod output;
mod parse;
mod progress;
mod redact;
mod similar;
mod up;

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use clap_complete::CompleteEnv;

use args::Cli;
use exit::ExitStatus;
use failure::CommandFailure;
use output::{Screen, style, tell};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Runs `muster` with the arguments of this process.
pub fn run() -> ExitCode {
    let here = std::env::current_dir().ok();
    let completion = CompleteEnv::with_factory(Cli::command).var(complete::VARIABLE);
    match completion.try_complete(std::env::args_os(), here.as_deref()) {
        Ok(false) => {}
        Ok(true) => return ExitStatus::OK.into(),
        Err(error) => return say_usage(error, &[]).into(),
    }
    let words: Vec<OsString> = std::env::args_os().collect();
    match Cli::try_parse_from(&words) {
        Ok(cli) => execute(cli).into(),
        Err(error) => say_usage(error, &words).into(),
    }
}

fn execute(cli: Cli) -> ExitStatus {
    log_for_experts();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(CommandFailure::System).and_then(|runtime| runtime.block_on(commands::run(cli)));
    match done {
        Ok(exit) => exit,
        Err(failure) => {
            if !failure.is_silent() {
                tell(&format!("{} {failure}", Screen::stderr().paint(style::BAD, "error:")));
            }
            failure.exit()
        }
    }
}

/// Help goes to standard output, mistakes to standard error.
fn say_usage(error: clap::Error, words: &[OsString]) -> ExitStatus {
    let error = redact::redacted(error);
    // A reader that went away has what it wanted.
    let _ = error.print();
    match error.exit_code() {
        0 => ExitStatus::OK,
        // This exit code must not be mistaken for a driver's.
        _ if waits(words) => ExitStatus::PLATFORM,
        _ => ExitStatus::USAGE,
    }
}

/// Whether an invalid command line was meant to exit with a driver's code.
fn waits(words: &[OsString]) -> bool {
    let ours = || words.iter().skip(1).take_while(|word| *word != "--");
    ours().any(|word| word == "submit") && ours().any(|word| word == "--wait" || word == "-w")
}

/// Nothing is logged unless somebody asks for it.
fn log_for_experts() {
    let Some(filter) = std::env::var("MUSTER_LOG").ok().filter(|filter| !filter.is_empty()) else { return };
    let filter: Targets = filter.parse().unwrap_or_else(|_| Targets::new().with_default(LevelFilter::DEBUG));
    let lines =
        tracing_subscriber::fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr);
    // This fails only when a logger is set already.
    let _ = tracing_subscriber::registry().with(lines).with(filter).try_init();
}
