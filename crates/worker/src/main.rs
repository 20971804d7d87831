//! The program `muster-worker`.

use std::io::IsTerminal;
use std::process::ExitCode;

use muster_config::{ConfigError, LogFormat};
use muster_worker::config::{Action, CommandLine, JoinArgs, StopArgs, WorkerConfig, WorkerSettings};
use muster_worker::launch::in_one_line;
use muster_worker::state::{ProcessOneLock, StateError};
use muster_worker::{agent, init, join, protection, runner, state};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Threads that may block: fetching artifacts, reading logs, cleaning up.
const BLOCKING_THREADS: usize = 16;

fn main() -> ExitCode {
    match act() {
        Ok(code) => code,
        Err(failed) => {
            #[expect(clippy::print_stderr, reason = "the one line that a wrong start is answered with")]
            {
                eprintln!("error: {}", failed.message);
            }
            ExitCode::from(failed.code)
        }
    }
}

fn act() -> Result<ExitCode, StartFailed> {
    let CommandLine { action, settings, .. } = match CommandLine::read(std::env::args_os()) {
        Ok(line) => line,
        Err(error) => match error.shown() {
            // Help and version were asked for, and are longer than a line.
            Some(text) => text.exit(),
            None => return Err(usage(&error)),
        },
    };
    match action {
        Some(Action::Stop(args)) => stop(&args).map(|()| ExitCode::SUCCESS),
        Some(Action::Join(args)) => join_cluster(args, &settings).map(|()| ExitCode::SUCCESS),
        None => serve(settings),
    }
}

/// The answer to a start that fails.
struct StartFailed {
    code: u8,
    message: String,
}

fn usage(error: &ConfigError) -> StartFailed {
    StartFailed { code: 2, message: error.line() }
}

fn other(error: &dyn std::error::Error) -> StartFailed {
    StartFailed { code: 1, message: in_one_line(error) }
}

fn join_cluster(args: JoinArgs, settings: &WorkerSettings) -> Result<(), StartFailed> {
    log_as(settings);
    let config = args.resolve().map_err(|error| usage(&error))?;
    runtime()?.block_on(join::join(config)).map_err(|error| other(&error))
}

fn log_as(settings: &WorkerSettings) {
    let lines =
        tracing_subscriber::fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr);
    let lines = match settings.log_format {
        LogFormat::Pretty => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(without_addresses())).with(settings.log.clone()).init();
}

fn serve(settings: WorkerSettings) -> Result<ExitCode, StartFailed> {
    log_as(&settings);
    if init::is_process_one() {
        // The agent has said what was wrong.
        let served = runtime()?.block_on(init::run(&settings.state_dir, settings.stop_grace.0));
        let code = served.map_err(|error| other(&error))?;
        return Ok(ExitCode::from(code));
    }
    protection::refuse_inspection();
    let config = settings.resolve().map_err(|error| usage(&error))?;
    // Only after the settings, since these may have run programs.
    protection::protect();
    let runtime = runtime()?;
    let served = runtime.block_on(serve_until_signal(config));
    // A download in progress, or a disk that hangs, must not keep the agent from ending.
    runtime.shutdown_background();
    served.map(|()| ExitCode::SUCCESS)
}

/// Keeps out of the log what the libraries that fetch artifacts say in detail, whatever `--log`
/// asks for: whole requests, with the user, the password and the query of an address.
fn without_addresses() -> Targets {
    // A target stands for all that begin with it, such as `ureq_proto`.
    let libraries = ["ureq", "rustls"].map(|target| (target, LevelFilter::INFO));
    Targets::new().with_default(LevelFilter::TRACE).with_targets(libraries)
}

async fn serve_until_signal(config: WorkerConfig) -> Result<(), StartFailed> {
    let (stopping, stop) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| other(&error))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| other(&error))?;
    // A terminal that closes does not end the agent; there is no file to open or read anew.
    let mut hung_up = signal(SignalKind::hangup()).map_err(|error| other(&error))?;
    tokio::spawn(async move {
        while hung_up.recv().await.is_some() {
            tracing::info!("SIGHUP is ignored");
        }
    });
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping; what runs here goes on");
        let _ = stopping.send(true);
    });
    agent::run(config, stop).await.map_err(|error| other(&error))
}

fn stop(args: &StopArgs) -> Result<(), StartFailed> {
    let directory = &args.state_dir;
    if ProcessOneLock::is_held(directory).map_err(|error| other(&error))? {
        return Err(other(&StateError::ServedByProcessOne(directory.clone())));
    }
    // Held while stopping: no agent may start the next runner meanwhile.
    let _lock = state::lock(directory).map_err(|error| match error {
        StateError::Locked(directory) => other(&StateError::Served(directory)),
        error => other(&error),
    })?;
    let stopped = runtime()?.block_on(runner::stop(directory, runner::STOP_GRACE));
    stopped.map(|_| ()).map_err(|error| other(&error))
}

fn runtime() -> Result<tokio::runtime::Runtime, StartFailed> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .on_thread_start(protection::be_usual)
        .build()
        .map_err(|error| other(&error))
}
