//! `muster-runner`: starts, limits, fences, reaps and journals the processes of one worker.
//!
//! It is small, without gRPC or async runtime, because it outlives the agents that speak to it and
//! everything that it runs dies with it. The threads of the [`spawner`] only spawn and may hang on
//! a path; the main loop ([`engine`]) does everything else and touches no path that a user chose.
//!
//! The main loop stops leased attempts at their lease's end. If it is not scheduled, the [`guard`],
//! a second process, stops them.
//!
//! The state directory (mode 0700) holds the lock, the socket, the incarnation, the process id, the
//! journal, the runs whose end is not proven ([`earlier_runs`]) and `runner.log`, which gets the
//! message of a crash and says why the guard was replaced.
//!
//! SIGTERM ends everything that runs, each attempt by its own grace, and then the runner; a second
//! SIGTERM changes nothing. SIGKILL lets the kernel end everything at once. Other signals have no
//! effect.

mod clock;
mod connection;
mod earlier_runs;
mod engine;
mod guard;
mod journal;
mod launch;
mod options;
mod pid_translation;
mod prepare;
mod private_tmp;
mod serve;
mod spawner;
mod stale_runner;
mod state_dir;
mod sys;
mod timers;
mod tree;
mod wait_channel;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use options::{RunnerInvocation, parse};

/// Another runner serves the state directory.
const EXIT_SERVED: u8 = 3;

/// Runs the program with the arguments after its name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    sys::privilege::refuse_inspection();
    let options = match parse(arguments) {
        Ok(RunnerInvocation::Run(options)) => options,
        Ok(RunnerInvocation::Guard(wanted)) => {
            return match guard::run(&wanted) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(1, &format!("the guard ends: {error}")),
            };
        }
        Ok(RunnerInvocation::Print(text)) => {
            // There may be no reader.
            let _ = std::io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(options::UsageError(message)) => return fail(2, &message),
    };
    match launch::launch(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(launch::LaunchError::Served) => {
            fail(EXIT_SERVED, &format!("another runner serves {}", options.state_dir.display()))
        }
        Err(launch::LaunchError::Failed(message)) => fail(1, &message),
    }
}

fn fail(code: u8, message: &str) -> ExitCode {
    // There may be no reader.
    let _ = writeln!(std::io::stderr(), "error: {message}");
    ExitCode::from(code)
}
