//! The program `muster-master`.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use muster_config::LogFormat;
use muster_master::config::{self, MasterInvocation};
use muster_master::{add_first_token, add_token, error_line, run};
use muster_tls::RotationStep;
use muster_types::WallTime;
use muster_units::TimeSpan;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// It gives back what a burst has left free; glibc's keeps it. Its settings are in
/// `.cargo/config.toml`, its figures in docs/performance.md.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[expect(clippy::print_stderr, reason = "errors of a program go there")]
fn main() -> ExitCode {
    let invocation = match config::invocation(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(error) => {
            if let Some(shown) = error.shown() {
                // If standard output is closed, nobody is left to tell.
                let _ = shown.print();
                return ExitCode::SUCCESS;
            }
            eprintln!("error: {}", error.line());
            return ExitCode::from(2);
        }
    };
    // The store holds secrets, and its database leaves the permissions of its files to the umask.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    match carry_out(invocation) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", error_line(&*error));
            ExitCode::FAILURE
        }
    }
}

type StartFailure = Box<dyn std::error::Error>;

#[expect(clippy::print_stdout, reason = "what was done, or the token, is what was asked for")]
fn carry_out(invocation: MasterInvocation) -> Result<(), StartFailure> {
    match invocation {
        MasterInvocation::Serve(settings) => serve(*settings),
        MasterInvocation::Init(directory) => {
            let authority = muster_tls::Authority::create(&directory)?;
            let token = add_first_token(&directory)?;
            println!("a CA is in {}; its digest is {}", directory.display(), authority.digest());
            println!("the token of a first administrator is in {}", token.display());
            Ok(())
        }
        MasterInvocation::RotateCa(directory, at_once) => {
            let step = muster_tls::rotate(&directory, SystemTime::now(), at_once)?;
            let line = step_line(step, at_once);
            // Whoever has scripted the steps must not take this for one of them.
            if matches!(step, RotationStep::NotBefore(_)) {
                return Err(line.into());
            }
            println!("{line}");
            Ok(())
        }
        MasterInvocation::Token(wanted) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
            let expires = wanted.ttl.map(|ttl| WallTime(u64::try_from(now + ttl.as_millis()).unwrap_or(u64::MAX)));
            let token = add_token(&wanted.access_file, &wanted.name, wanted.grant, expires)?;
            println!("{}", token.expose());
            Ok(())
        }
        MasterInvocation::Recover(location) => {
            let generation = once(muster_store::recover(&location))?;
            println!("{location} is of generation {generation} now; masters may lead on it");
            Ok(())
        }
        MasterInvocation::Restore(file, location) => {
            let restored = once(muster_store::restore(&file, &location))?;
            let (name, generation, commit) = (&restored.cluster.name, restored.generation, restored.commit.0);
            println!(
                "cluster {name}: {} records of commit {commit} restored into {location}, which is of generation {generation}",
                restored.records
            );
            Ok(())
        }
    }
}

/// Runs one task to its end, on a runtime of its own.
fn once<T, E: std::error::Error + 'static>(task: impl Future<Output = Result<T, E>>) -> Result<T, StartFailure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(task)?)
}

/// Every worker and every client needs a file descriptor. The usual soft limit exists for programs
/// that use `select`.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // If this is refused, the master serves as many as it may.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// What a step of a rotation has done, and what comes next; at once, where nobody is waited for.
fn step_line(step: RotationStep, at_once: bool) -> String {
    // In whole minutes, rounded up.
    let left = |at: SystemTime| {
        let seconds = at.duration_since(SystemTime::now()).unwrap_or_default().as_secs();
        TimeSpan(Duration::from_secs(seconds.div_ceil(60).max(1) * 60))
    };
    let then = |at: SystemTime| match at_once {
        true => "now: run this again, as the old one is trusted until the third run".to_owned(),
        false => format!("in {}: then run this again", left(at)),
    };
    match step {
        RotationStep::Added(digest, next) => {
            format!("a second CA is trusted; its digest is {digest}. It may sign {}", then(next))
        }
        RotationStep::Signs(digest, next) => {
            format!("the CA {digest} signs now, and people log in by it. The old one may be taken away {}", then(next))
        }
        RotationStep::Alone(digest) => format!("the CA {digest} is the only one now"),
        RotationStep::NotBefore(next) => format!("nothing was done: the next step is due in {}", left(next)),
    }
}

fn serve(settings: config::MasterSettings) -> Result<(), StartFailure> {
    let lines =
        tracing_subscriber::fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr);
    let lines = match settings.log_format {
        LogFormat::Pretty => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(lines).with(settings.log.clone()).init();
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(async {
        let (stop, stopped) = watch::channel(false);
        let (mut terminated, mut interrupted) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        // A terminal that closes ends no master. There are no log files to reopen, and the
        // configuration is not read again.
        let mut hung_up = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            while hung_up.recv().await.is_some() {
                tracing::info!("SIGHUP is ignored");
            }
        });
        tokio::spawn(async move {
            tokio::select! {
                _ = terminated.recv() => {}
                _ = interrupted.recv() => {}
            }
            tracing::info!("told to stop");
            stop.send_replace(true);
        });
        Ok(run(settings, stopped).await?)
    });
    // A stuck peer must not keep the process alive.
    runtime.shutdown_background();
    result
}
