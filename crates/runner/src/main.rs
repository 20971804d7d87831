//! The program.

use std::process::ExitCode;

fn main() -> ExitCode {
    muster_runner::main(std::env::args_os().skip(1))
}
