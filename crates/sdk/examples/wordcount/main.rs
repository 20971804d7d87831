//! Counts the words of a corpus on a cluster: one program in two roles.
//!
//! As a driver (`muster submit --wait -- wordcount FOLDER`) it registers an application whose
//! executors run this same program, cuts the files into shares, and joins the counts. As an
//! executor it connects to the driver and counts what it is given. It uses the cluster as any
//! program would: it reads its own context, requests executors, and follows their events. The share
//! of a lost executor is given to another.

mod corpus;
mod count;
mod driver;
mod exchange;
mod executor_pool;
mod options;
mod work_queue;

use std::io::Write as _;
use std::process::ExitCode;

use options::Role;

/// Prints a line for people on standard error; only the result goes to standard output.
macro_rules! say {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        // An error means that nobody reads it, and the count continues.
        let _ = writeln!(std::io::stderr(), $($words)*);
    }};
}
pub(crate) use say;

fn main() -> ExitCode {
    let role = match options::parse(std::env::args().skip(1)) {
        Ok(role) => role,
        Err(error) => {
            say!("error: {error}\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    match run(role) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(role: Role) -> Result<(), Box<dyn std::error::Error>> {
    match role {
        Role::Executor { driver, id } => Ok(exchange::serve(&driver, &id)?),
        Role::Driver(options) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let commonest = runtime.block_on(driver::run(&options))?;
            let mut out = std::io::stdout().lock();
            for (word, count) in commonest {
                writeln!(out, "{count:>9} {word}")?;
            }
            Ok(out.flush()?)
        }
    }
}

#[cfg(test)]
mod tests;
